package binding_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/eventrig"
)

// mounted says which Secret each container of some pods finds at /oidc, and what else it has mounted.
func mounted(p corev1.PodSpec) string {
	secret := ""
	for _, v := range p.Volumes {
		if v.Projected != nil && v.Name == "oidc-token" {
			secret += v.Projected.Sources[0].Secret.Name
		}
	}
	var out []string
	for _, c := range append(slices.Clone(p.InitContainers), p.Containers...) {
		for _, m := range c.VolumeMounts {
			out = append(out, fmt.Sprintf("%s:%s:%t", c.Name, m.MountPath, m.ReadOnly))
		}
	}
	return strings.TrimSpace(secret + " " + strings.Join(out, " "))
}

func aWorkloadFindsTheTokenThatItsSinkAsksFor(t *testing.T, r *eventrig.Rig) {
	const told = "b-oidc-token first:/oidc:true app:/own:false app:/oidc:true"
	r.Namespace(t, "tokens", nil)
	withOwn := func(p *corev1.PodSpec) {
		p.Volumes = []corev1.Volume{{Name: "own", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		p.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "own", MountPath: "/own"}}
	}
	before, after := deployment("tokens", "before"), deployment("tokens", "after")
	withOwn(&before.Spec.Template.Spec)
	withOwn(&after.Spec.Template.Spec)
	after.Labels, before.Labels = map[string]string{"bound": "yes"}, map[string]string{"bound": "yes"}
	b := sinkBinding("tokens", "b", duck.Subject{APIVersion: "apps/v1", Kind: "Deployment", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"bound": "yes"}}})
	b.Spec.Sink.Audience = ptr.To("a-sink")
	jobs := sinkBinding("tokens", "jobs", duck.Subject{APIVersion: "batch/v1", Kind: "Job", Name: "j"})
	jobs.Spec.Sink.Audience = ptr.To("a-sink")
	r.Create(t, before, b, jobs)
	awaitReady(t, r, b)
	apiserver.Eventually(t, "what was there is told", func(ctx context.Context) bool {
		return r.Client.Get(ctx, client.ObjectKeyFromObject(before), before) == nil && mounted(before.Spec.Template.Spec) == told
	})
	var secret corev1.Secret
	if err := r.Client.Get(t.Context(), types.NamespacedName{Namespace: "tokens", Name: *b.Status.OIDCTokenSecretName}, &secret); err != nil || !metav1.IsControlledBy(&secret, b) {
		t.Fatal(err)
	}
	subject, err := policy.NewVerifier(r.Client, clock.RealClock{}).Subject(t.Context(), string(secret.Data["token"]), "a-sink")
	if err != nil || subject != "system:serviceaccount:tokens:b-oidc-sources.knative.dev-sinkbinding" || *b.Status.Auth.ServiceAccountName != "b-oidc-sources.knative.dev-sinkbinding" {
		t.Errorf("%q, %v", subject, err)
	}
	apiserver.Eventually(t, "what is made is told as it is made", func(ctx context.Context) bool {
		made := after.DeepCopy()
		if err := r.Client.Create(ctx, made, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		return mounted(made.Spec.Template.Spec) == told
	})
	apiserver.Eventually(t, "Jobs too", func(ctx context.Context) bool {
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "tokens", Name: "j"}, Spec: batchv1.JobSpec{Template: pods(nil)}}
		job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
		if err := r.Client.Create(ctx, job, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		return mounted(job.Spec.Template.Spec) == "jobs-oidc-token first:/oidc:true app:/oidc:true"
	})
	secret.Data["token"] = []byte("none.at.all")
	if err := r.Client.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	eventrig.Change(t, r, b, func(b *sourcesv1.SinkBinding) { b.Annotations = map[string]string{"look": "again"} })
	apiserver.Eventually(t, "a token that does not hold is renewed", func(ctx context.Context) bool {
		return r.Client.Get(ctx, client.ObjectKeyFromObject(&secret), &secret) == nil && len(secret.Data["token"]) > 100
	})
	eventrig.Change(t, r, b, func(b *sourcesv1.SinkBinding) { b.Spec.Sink.Audience = nil })
	apiserver.Eventually(t, "who asks for nothing is sent nothing", func(ctx context.Context) bool {
		var now appsv1.Deployment
		gone := r.Client.Get(ctx, client.ObjectKeyFromObject(&secret), &corev1.Secret{})
		return r.Client.Get(ctx, client.ObjectKeyFromObject(before), &now) == nil && mounted(now.Spec.Template.Spec) == "app:/own:false" && apierrors.IsNotFound(gone)
	})
}

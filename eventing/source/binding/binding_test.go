package binding_test

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/source/binding"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/eventrig"
)

// The promises that take an API server to keep.
func TestOnARealAPIServer(t *testing.T) {
	r := eventrig.Start(t, apiserver.Options{})
	features, _, err := config.ParseEventingFeatures(map[string]string{string(config.AuthenticationOIDC): "enabled"})
	if err != nil {
		t.Fatal(err)
	}
	// Sinks without an audience ask for nothing although the feature is on.
	accounts := &identity.Accounts{
		Client: r.Manager.GetClient(), Reader: r.Manager.GetAPIReader(), Features: func() config.EventingFeatures { return features },
	}
	reconciler := &binding.Reconciler{
		Client: r.Manager.GetClient(), Resolver: r.Resolver, Exposer: r, Accounts: accounts, Tokens: &identity.Tokens{Client: r.Client, Clock: clock.RealClock{}},
		Clock: clock.RealClock{}, Log: r.Log,
	}
	if err := reconciler.Setup(r.Manager); err != nil {
		t.Fatal(err)
	}
	r.Run(t)
	t.Run("AWorkloadIsToldAndFollowsTheSink", func(t *testing.T) { aWorkloadIsToldAndFollowsTheSink(t, r) })
	t.Run("WhatIsMadeLaterIsToldAsItIsMade", func(t *testing.T) { whatIsMadeLaterIsToldAsItIsMade(t, r) })
	t.Run("AWorkloadFindsTheTokenThatItsSinkAsksFor", func(t *testing.T) { aWorkloadFindsTheTokenThatItsSinkAsksFor(t, r) })
	t.Run("OfTwoOnlyTheFirstTells", func(t *testing.T) { ofTwoOnlyTheFirstTells(t, r) })
}

func pods(labels map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "first", Image: "i"}},
		Containers:     []corev1.Container{{Name: "app", Image: "i", Env: []corev1.EnvVar{{Name: "OWN", Value: "1"}, {Name: "K_SINK", Value: "http://old"}}}},
	}}
}

func deployment(namespace, name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: pods(labels),
	}}
}

func sinkBinding(namespace, name string, subject duck.Subject) *sourcesv1.SinkBinding {
	b := &sourcesv1.SinkBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	b.Spec.Sink = duck.Destination{Ref: &duck.KReference{APIVersion: "v1", Kind: "Service", Name: "sink"}}
	b.Spec.CloudEventOverrides = &duck.CloudEventOverrides{Extensions: map[string]string{"b": `say "2"`, "a": "1"}}
	subject.Namespace = namespace
	b.Spec.Subject = subject
	return b
}

func awaitReady(t *testing.T, r *eventrig.Rig, b *sourcesv1.SinkBinding) {
	t.Helper()
	apiserver.Eventually(t, b.Name+" is ready", func(ctx context.Context) bool {
		return r.Client.Get(ctx, client.ObjectKeyFromObject(b), b) == nil && b.IsReady()
	})
}

// sinks are K_SINK of all containers, and overrides K_CE_OVERRIDES of the last.
func sinks(p corev1.PodSpec) (sinks, overrides string) {
	var out []string
	for _, c := range append(p.InitContainers, p.Containers...) {
		for _, e := range c.Env {
			switch e.Name {
			case "K_SINK":
				out = append(out, e.Value)
			case "K_CE_OVERRIDES":
				overrides = e.Value
			}
		}
	}
	return strings.Join(out, " "), overrides
}

func awaitSinks(t *testing.T, r *eventrig.Rig, d *appsv1.Deployment, want string) {
	t.Helper()
	apiserver.Eventually(t, d.Name+" is told "+want, func(ctx context.Context) bool {
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
			return false
		}
		got, _ := sinks(d.Spec.Template.Spec)
		return got == want
	})
}

func aWorkloadIsToldAndFollowsTheSink(t *testing.T, r *eventrig.Rig) {
	r.Namespace(t, "follows", nil)
	r.Create(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "follows", Name: "other"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
	d, next := deployment("follows", "cart"), deployment("follows", "till")
	r.Create(t, d, next)
	b := sinkBinding("follows", "b", duck.Subject{APIVersion: "apps/v1", Kind: "Deployment", Name: "cart"})
	r.Create(t, b)
	awaitReady(t, r, b)
	awaitSinks(t, r, d, "http://sink.follows.svc.cluster.local http://sink.follows.svc.cluster.local")
	generation := d.Generation
	eventrig.Change(t, r, b, func(b *sourcesv1.SinkBinding) { b.Spec.Sink.Ref.Name = "other" })
	awaitSinks(t, r, d, "http://other.follows.svc.cluster.local http://other.follows.svc.cluster.local")
	if d.Generation != generation+1 {
		t.Errorf("the workload was changed %d times", d.Generation-generation)
	}
	eventrig.Change(t, r, b, func(b *sourcesv1.SinkBinding) { b.Spec.Subject.Name = "till" })
	awaitSinks(t, r, next, "http://other.follows.svc.cluster.local http://other.follows.svc.cluster.local")
	awaitSinks(t, r, d, "")
	if err := r.Client.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	awaitSinks(t, r, next, "")
	if env := next.Spec.Template.Spec.Containers[0].Env; len(env) != 1 || env[0].Name != "OWN" {
		t.Errorf("what is left: %v", env)
	}
	apiserver.Eventually(t, "the SinkBinding is gone", func(ctx context.Context) bool {
		return client.IgnoreNotFound(r.Client.Get(ctx, client.ObjectKeyFromObject(b), b)) == nil && r.Client.Get(ctx, client.ObjectKeyFromObject(b), b) != nil
	})
}

func whatIsMadeLaterIsToldAsItIsMade(t *testing.T, r *eventrig.Rig) {
	r.Namespace(t, "later", nil)
	jobs := sinkBinding("later", "jobs", duck.Subject{APIVersion: "batch/v1", Kind: "Job", Selector: &metav1.LabelSelector{
		MatchLabels: map[string]string{"app": "beat"}, MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "app", Operator: metav1.LabelSelectorOpExists}, {Key: "quiet", Operator: metav1.LabelSelectorOpDoesNotExist},
			{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"beat", "beats"}}, {Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"x"}},
		},
	}})
	crons := sinkBinding("later", "crons", duck.Subject{APIVersion: "batch/v1", Kind: "CronJob", Name: "cron"})
	services := sinkBinding("later", "services", duck.Subject{APIVersion: "serving.knative.dev/v1", Kind: "Service", Name: "web"})
	r.Create(t, jobs, crons, services)
	awaitReady(t, r, jobs)
	for _, b := range []*sourcesv1.SinkBinding{crons, services} {
		apiserver.Eventually(t, "the missing subject of "+b.Name+" is told", func(ctx context.Context) bool {
			ready := b.Status.GetCondition(conditions.Ready)
			return r.Client.Get(ctx, client.ObjectKeyFromObject(b), b) == nil && ready.IsFalse() && ready.Reason == "SubjectMissing"
		})
	}
	want := "http://sink.later.svc.cluster.local http://sink.later.svc.cluster.local"
	job := func(labels map[string]string) *batchv1.Job {
		template := pods(nil)
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "later", GenerateName: "j-", Labels: labels}, Spec: batchv1.JobSpec{Template: template}}
	}
	// The policies come into force within seconds of their first installation.
	apiserver.Eventually(t, "a Job is told as it is made", func(ctx context.Context) bool {
		j := job(map[string]string{"app": "beat"})
		if err := r.Client.Create(ctx, j); err != nil {
			t.Fatal(err)
		}
		got, overrides := sinks(j.Spec.Template.Spec)
		return got == want && overrides == `{"extensions":{"a":"1","b":"say \"2\""}}`
	})
	for _, labels := range []map[string]string{nil, {"app": "other"}, {"app": "beat", "quiet": "please"}} {
		j := job(labels)
		r.Create(t, j)
		if got, _ := sinks(j.Spec.Template.Spec); got != "http://old" {
			t.Errorf("a Job with labels %v is told %q", labels, got)
		}
	}
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "later", Name: "cron"}}
	cron.Spec.Schedule, cron.Spec.JobTemplate.Spec = "* * * * *", job(nil).Spec
	web := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "later", Name: "web"}}
	web.Spec.Template.Spec.PodSpec = pods(nil).Spec
	// The API server's policies come to know a kind, and what a SinkBinding says, a moment later than who asks for it.
	for o, template := range map[client.Object]*corev1.PodSpec{cron: &cron.Spec.JobTemplate.Spec.Template.Spec, web: &web.Spec.Template.Spec.PodSpec} {
		was := template.DeepCopy()
		apiserver.Eventually(t, o.GetName()+" is told as it is made", func(ctx context.Context) bool {
			*template = *was.DeepCopy()
			o.SetResourceVersion("")
			if err := r.Client.Create(ctx, o); err != nil {
				return false
			}
			if got, _ := sinks(*template); got == want {
				return true
			}
			if err := r.Client.Delete(ctx, o); err != nil {
				t.Fatal(err)
			}
			return false
		})
	}
	awaitReady(t, r, crons)
	awaitReady(t, r, services)
	if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(web), web); err != nil || web.Generation != 1 {
		t.Errorf("the Service was changed after it was made: %d, %v", web.Generation, err)
	}
}

func ofTwoOnlyTheFirstTells(t *testing.T, r *eventrig.Rig) {
	r.Namespace(t, "two", nil)
	r.Create(t, deployment("two", "cart"))
	first := sinkBinding("two", "a", duck.Subject{APIVersion: "apps/v1", Kind: "Deployment", Name: "cart"})
	r.Create(t, first)
	awaitReady(t, r, first)
	second := sinkBinding("two", "b", duck.Subject{APIVersion: "apps/v1", Kind: "Deployment", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "cart"}}})
	r.Create(t, second)
	apiserver.Eventually(t, "the second says who was first", func(ctx context.Context) bool {
		ready := second.Status.GetCondition(conditions.Ready)
		return r.Client.Get(ctx, client.ObjectKeyFromObject(second), second) == nil && ready.IsFalse() && strings.Contains(ready.Message, "by SinkBinding a already")
	})
}

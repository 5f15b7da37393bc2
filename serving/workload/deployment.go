package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/naming"
)

// NewDeployment returns the revision's Deployment, with as many replicas as it shall begin with.
func NewDeployment(in Input) *appsv1.Deployment {
	r := in.Revision
	template := podTemplate(in)
	none := intstr.FromInt32(0)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Name: naming.Deployment(r.Name), Namespace: r.Namespace, Labels: labels(r),
			Annotations:     without(r.Annotations, routingOrScaling),
			OwnerReferences: apply.OwnerOf(r, RevisionKind),
		},
		Spec: appsv1.DeploymentSpec{
			Selector:                &metav1.LabelSelector{MatchLabels: selector(r)},
			ProgressDeadlineSeconds: ptr.To(progressDeadline(r, in.Config.Deployment)),
			RevisionHistoryLimit:    ptr.To[int32](0),
			Strategy: appsv1.DeploymentStrategy{
				Type: appsv1.RollingUpdateDeploymentStrategyType,
				// A new pod is there before an old one goes.
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none},
			},
			Template: template,
		},
	}
	d.Labels[serving.DeploymentHashLabelKey] = hash(d)
	d.Spec.Replicas = ptr.To(autoscaling.ResolvePolicy(r.Annotations, in.Config.Autoscaler, r.Spec.Concurrency()).InitialScale)
	return d
}

// hash identifies what a Deployment wants, whatever its replicas and whatever the API server has filled in.
func hash(d *appsv1.Deployment) string {
	data, err := json.Marshal([]any{d.Labels, d.Annotations, d.Spec})
	if err != nil {
		panic("workload: a Deployment cannot be written as JSON: " + err.Error()) // it came as JSON
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Rollover returns have changed into what want describes, or nil if it is that already. Replicas and selector stay, and so do labels
// and annotations that others have put there, such as that of kubectl rollout restart.
func Rollover(have, want *appsv1.Deployment) *appsv1.Deployment {
	if have.Labels[serving.DeploymentHashLabelKey] == want.Labels[serving.DeploymentHashLabelKey] {
		return nil
	}
	d := have.DeepCopy()
	d.Spec = *want.Spec.DeepCopy()
	d.Spec.Replicas, d.Spec.Selector = have.Spec.Replicas, have.Spec.Selector
	d.Labels = merged(want.Labels, have.Labels)
	d.Annotations = merged(want.Annotations, have.Annotations)
	d.Spec.Template.Labels = merged(want.Spec.Template.Labels, have.Spec.Template.Labels)
	d.Spec.Template.Annotations = merged(want.Spec.Template.Annotations, have.Spec.Template.Annotations)
	return d
}

// merged returns ours and those of theirs that are not ours to remove.
func merged(ours, theirs map[string]string) map[string]string {
	all := without(theirs, isOurs)
	maps.Copy(all, ours)
	return all
}

func progressDeadline(r *servingv1.Revision, cfg *config.Deployment) int32 {
	_, written, _ := serving.Lookup(r.Annotations, serving.ProgressDeadlineAnnotationKey)
	if d, err := time.ParseDuration(written); err == nil && d >= time.Second {
		return int32(d / time.Second)
	}
	return int32(cfg.ProgressDeadline / time.Second)
}

// preferSpread prefers a node that runs no replica of the revision.
func preferSpread(r *servingv1.Revision) *corev1.Affinity {
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight: 100,
			PodAffinityTerm: corev1.PodAffinityTerm{
				TopologyKey:   corev1.LabelHostname,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{serving.RevisionLabelKey: r.Name}},
			},
		}},
	}}
}

package container

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing/defaulting"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/source/binding"
)

// Labels of the Deployment and its pods, as Knative's.
const (
	controllerLabel = "sources.knative.dev/source"
	controllerValue = "container-source-controller"
	sourceLabel     = "sources.knative.dev/containerSource"
)

// templateAnnotation, on the Deployment, is what its template was made from.
const templateAnnotation = "sources.ebb.dev/template-hash"

var (
	sourceKind     = sourcesv1.SchemeGroupVersion.WithKind("ContainerSource")
	deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")
)

// longest is that of names that become labels.
const longest = 63

// child is the name of a child: the parent's and a suffix, cut and made unique where that is too long.
func child(parent, suffix string) string {
	if len(parent)+len(suffix) <= longest {
		return parent + suffix
	}
	sum := sha256.Sum256([]byte(parent))
	mark := "-" + hex.EncodeToString(sum[:4])
	return parent[:longest-len(suffix)-len(mark)] + mark + suffix
}

// BindingOf is a source's SinkBinding, complete as admission would make it.
func BindingOf(s *sourcesv1.ContainerSource) *sourcesv1.SinkBinding {
	b := &sourcesv1.SinkBinding{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: child(s.Name, "-sinkbinding"), OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s, sourceKind)},
		},
		Spec: sourcesv1.SinkBindingSpec{SourceSpec: *s.Spec.SourceSpec.DeepCopy(), BindingSpec: duck.BindingSpec{Subject: duck.Subject{
			APIVersion: deploymentKind.GroupVersion().String(), Kind: deploymentKind.Kind, Name: child(s.Name, "-deployment"),
		}}},
	}
	defaulting.SinkBinding(b, nil, defaulting.Input{})
	return b
}

// DeploymentOf is a source's Deployment, whose containers know the sink from the beginning.
func DeploymentOf(s *sourcesv1.ContainerSource, told binding.Contract) (*appsv1.Deployment, error) {
	sum, err := json.Marshal(s.Spec.Template)
	if err != nil {
		return nil, fmt.Errorf("spec.template: %w", err)
	}
	hash := sha256.Sum256(sum)
	selector := map[string]string{controllerLabel: controllerValue, sourceLabel: child(s.Name, "")}
	template := *s.Spec.Template.DeepCopy()
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	maps.Copy(template.Labels, selector)
	d := &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: deploymentKind.GroupVersion().String(), Kind: deploymentKind.Kind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: child(s.Name, "-deployment"), Labels: maps.Clone(selector),
			Annotations:     map[string]string{templateAnnotation: hex.EncodeToString(hash[:8])},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s, sourceKind)},
		},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: template},
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	if err != nil {
		return nil, fmt.Errorf("Deployment %s: %w", d.Name, err)
	}
	if _, err := binding.Bind(&unstructured.Unstructured{Object: object}, told); err != nil {
		return nil, err
	}
	out := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, out); err != nil {
		return nil, fmt.Errorf("Deployment %s: %w", d.Name, err)
	}
	return out, nil
}

// Input is what the decision about a source's status is made of.
type Input struct {
	Source *sourcesv1.ContainerSource
	// Binding and Deployment are its children; nil while there are none.
	Binding    *sourcesv1.SinkBinding
	Deployment *appsv1.Deployment
	// BindingErr and DeploymentErr are why they are not as they are to be.
	BindingErr, DeploymentErr error
	Now                       time.Time
}

// Decide returns a source's status.
func Decide(in Input) sourcesv1.ContainerSourceStatus {
	s := in.Source
	out := *s.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = s.Generation
	marks.Initialize()
	out.SinkURI, out.SinkCACerts, out.SinkAudience, out.CloudEventAttributes, out.Auth = nil, nil, nil, nil, nil
	bound := sourcesv1.ContainerSourceConditionSinkBindingReady
	switch {
	case in.BindingErr != nil:
		marks.MarkFalse(bound, "SinkBindingFailed", in.BindingErr.Error())
	case in.Binding == nil:
		marks.MarkUnknown(bound, "SinkBindingMissing", "the SinkBinding is being made")
	default:
		b := &in.Binding.Status
		out.SinkURI, out.SinkCACerts, out.SinkAudience, out.CloudEventAttributes = b.SinkURI, b.SinkCACerts, b.SinkAudience, b.CloudEventAttributes
		out.Auth = b.Auth.DeepCopy()
		ready := b.GetCondition(conditions.Ready)
		if b.ObservedGeneration != in.Binding.Generation || ready == nil {
			marks.MarkUnknown(bound, "SinkBindingPending", fmt.Sprintf("SinkBinding %s/%s has not been looked at yet", s.Namespace, in.Binding.Name))
			break
		}
		marks.Copy(bound, ready)
	}
	runs(in, marks)
	out.Status.KeepTransitionTimes(&s.Status.Status)
	return out
}

// runs says whether the pods run.
func runs(in Input, marks conditions.Manager) {
	adapter := sourcesv1.ContainerSourceConditionReceiveAdapterReady
	switch {
	case in.DeploymentErr != nil:
		marks.MarkFalse(adapter, "DeploymentFailed", in.DeploymentErr.Error())
		return
	case in.Deployment == nil:
		marks.MarkUnknown(adapter, "SinkMissing", "the Deployment is made once the sink has a URI")
		return
	}
	for _, c := range in.Deployment.Status.Conditions {
		if c.Type != appsv1.DeploymentAvailable {
			continue
		}
		switch c.Status {
		case corev1.ConditionTrue:
			marks.MarkTrue(adapter)
		case corev1.ConditionFalse:
			marks.MarkFalse(adapter, c.Reason, c.Message)
		default:
			marks.MarkUnknown(adapter, c.Reason, c.Message)
		}
		return
	}
	marks.MarkUnknown(adapter, "DeploymentUnavailable", fmt.Sprintf("The Deployment '%s' is unavailable.", in.Deployment.Name))
}

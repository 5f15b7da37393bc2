package crds

import (
	"k8s.io/apimachinery/pkg/runtime"

	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	eventingv1beta2 "ebb.dev/ebb/crds/eventing/v1beta2"
	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	sourcesv1beta1 "ebb.dev/ebb/crds/sources/v1beta1"
)

var schemeBuilder = runtime.NewSchemeBuilder(
	servingv1.AddToScheme, networkingv1alpha1.AddToScheme, autoscalingv1alpha1.AddToScheme,
	eventingv1.AddToScheme, eventingv1alpha1.AddToScheme, eventingv1beta2.AddToScheme, eventingv1beta3.AddToScheme,
	messagingv1.AddToScheme, messagingv1alpha1.AddToScheme, messagingv1beta1.AddToScheme,
	flowsv1.AddToScheme,
	sourcesv1.AddToScheme, sourcesv1beta1.AddToScheme,
	sinksv1alpha1.AddToScheme,
)

// AddToScheme registers the kinds of every group.
var AddToScheme = schemeBuilder.AddToScheme

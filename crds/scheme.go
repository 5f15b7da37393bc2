package crds

import (
	"k8s.io/apimachinery/pkg/runtime"

	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

var schemeBuilder = runtime.NewSchemeBuilder(servingv1.AddToScheme, networkingv1alpha1.AddToScheme, autoscalingv1alpha1.AddToScheme)

// AddToScheme registers the kinds of every group.
var AddToScheme = schemeBuilder.AddToScheme

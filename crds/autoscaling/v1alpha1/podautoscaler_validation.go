package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/networking"
)

// Validate returns what is wrong with the PodAutoscaler.
func (pa *PodAutoscaler) Validate(config *autoscaling.Config) field.ErrorList {
	errs := autoscaling.ValidateAnnotations(pa.Annotations, config, field.NewPath("metadata", "annotations"))
	return append(errs, pa.Spec.validate(field.NewPath("spec"))...)
}

func (s *PodAutoscalerSpec) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	ref, refPath := s.ScaleTargetRef, path.Child("scaleTargetRef")
	for _, part := range []struct{ name, value string }{{"apiVersion", ref.APIVersion}, {"kind", ref.Kind}, {"name", ref.Name}} {
		if part.value == "" {
			errs = append(errs, field.Required(refPath.Child(part.name), "must name what to scale"))
		}
	}
	if s.ContainerConcurrency < 0 {
		// The upper bound is config-defaults', which the Revision was held to.
		errs = append(errs, field.Invalid(path.Child("containerConcurrency"), s.ContainerConcurrency, "must be at least 0, which is no limit"))
	}
	switch s.ProtocolType {
	case networking.ProtocolHTTP1, networking.ProtocolH2C:
	case "":
		errs = append(errs, field.Required(path.Child("protocolType"), "must be http1 or h2c"))
	default:
		errs = append(errs, field.NotSupported(path.Child("protocolType"), s.ProtocolType, []networking.Protocol{networking.ProtocolHTTP1, networking.ProtocolH2C}))
	}
	return errs
}

package v1alpha1

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/eventing"
)

// Validate returns what is wrong with the spec. Defaults are expected to be set.
func (i *Ingress) Validate() field.ErrorList {
	path := field.NewPath("spec")
	var errs field.ErrorList
	if len(i.Spec.Rules) == 0 {
		errs = append(errs, field.Required(path.Child("rules"), "give at least one rule"))
	}
	for n := range i.Spec.Rules {
		errs = append(errs, i.Spec.Rules[n].validate(i.Namespace, path.Child("rules").Index(n))...)
	}
	for n := range i.Spec.TLS {
		errs = append(errs, i.Spec.TLS[n].validate(path.Child("tls").Index(n))...)
	}
	switch i.Spec.HTTPOption {
	case "", HTTPOptionEnabled, HTTPOptionRedirected:
	default:
		errs = append(errs, field.NotSupported(path.Child("httpOption"), i.Spec.HTTPOption, []HTTPOption{HTTPOptionEnabled, HTTPOptionRedirected}))
	}
	return errs
}

func (r *IngressRule) validate(namespace string, path *field.Path) field.ErrorList {
	if r.HTTP == nil {
		return field.ErrorList{field.Required(path.Child("http"), "say where the rule's requests go")}
	}
	paths := path.Child("http", "paths")
	if len(r.HTTP.Paths) == 0 {
		return field.ErrorList{field.Required(paths, "give at least one path")}
	}
	var errs field.ErrorList
	switch r.Visibility {
	case "", IngressVisibilityExternalIP, IngressVisibilityClusterLocal:
	default:
		errs = append(errs, field.NotSupported(path.Child("visibility"), r.Visibility,
			[]IngressVisibility{IngressVisibilityExternalIP, IngressVisibilityClusterLocal}))
	}
	for n := range r.HTTP.Paths {
		errs = append(errs, r.HTTP.Paths[n].validate(namespace, paths.Index(n))...)
	}
	return errs
}

func (p *HTTPIngressPath) validate(namespace string, path *field.Path) field.ErrorList {
	splits := path.Child("splits")
	if len(p.Splits) == 0 {
		return field.ErrorList{field.Required(splits, "give at least one backend")}
	}
	var errs field.ErrorList
	total := 0
	shares := make([]string, len(p.Splits))
	for n := range p.Splits {
		split := &p.Splits[n]
		errs = append(errs, split.validate(namespace, splits.Index(n))...)
		total += split.Percent
		shares[n] = fmt.Sprint(split.Percent)
	}
	// The share of an only backend may be left out and is then 100.
	if total != 100 && (len(p.Splits) > 1 || total != 0) {
		errs = append(errs, field.Invalid(splits, field.OmitValueType{},
			fmt.Sprintf("%s = %d, must add up to 100", strings.Join(shares, " + "), total)))
	}
	return errs
}

func (s *IngressBackendSplit) validate(namespace string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Percent < 0 || s.Percent > 100 {
		errs = append(errs, field.Invalid(path.Child("percent"), s.Percent, "must be from 0 to 100"))
	}
	switch {
	case s.ServiceNamespace == "":
		errs = append(errs, field.Required(path.Child("serviceNamespace"), "name the Ingress's own namespace"))
	case s.ServiceNamespace == eventing.SystemNamespace && s.ServiceName == eventing.BackendService:
		// Channels of every namespace are taken there, as everybody may send to it anyway.
	case s.ServiceNamespace != namespace:
		errs = append(errs, field.Invalid(path.Child("serviceNamespace"), s.ServiceNamespace,
			fmt.Sprintf("must be the Ingress's own namespace, %q", namespace)))
	}
	if s.ServiceName == "" {
		errs = append(errs, field.Required(path.Child("serviceName"), "name a Service"))
	}
	if s.ServicePort == (intstr.IntOrString{}) {
		errs = append(errs, field.Required(path.Child("servicePort"), "give the Service's port, by number or name"))
	}
	return errs
}

func (t *IngressTLS) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.SecretName == "" {
		errs = append(errs, field.Required(path.Child("secretName"), "name the Secret with the certificate"))
	}
	if t.SecretNamespace == "" {
		errs = append(errs, field.Required(path.Child("secretNamespace"), "name the Secret's namespace"))
	}
	return errs
}

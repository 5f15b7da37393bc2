package validation

import (
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/config"
)

const bindLowPorts corev1.Capability = "NET_BIND_SERVICE"

func (p *pod) podSecurityContext(s *corev1.PodSecurityContext, path *field.Path) {
	if s == nil {
		return
	}
	p.id(s.RunAsUser, path.Child("runAsUser"))
	p.id(s.RunAsGroup, path.Child("runAsGroup"))
	p.id(s.FSGroup, path.Child("fsGroup"))
	for i := range s.SupplementalGroups {
		p.id(&s.SupplementalGroups[i], path.Child("supplementalGroups").Index(i))
	}
	// With secure-pod-defaults alone the profile is open only for those who opt out of it.
	if profile := s.SeccompProfile; profile != nil && !p.features.Open(config.PodSpecSecurityContext) {
		optsOut := profile.Type == corev1.SeccompProfileTypeRuntimeDefault || profile.Type == corev1.SeccompProfileTypeUnconfined
		if !optsOut || profile.LocalhostProfile != nil {
			p.add(field.Forbidden(path.Child("seccompProfile"), "may only be RuntimeDefault or Unconfined; set "+
				string(config.PodSpecSecurityContext)+" to Enabled in "+config.ObjectName(config.FeaturesName)+" for others"))
		}
	}
}

func (p *pod) securityContext(s *corev1.SecurityContext, path *field.Path) {
	if s == nil {
		return
	}
	if ptr.Deref(s.Privileged, false) {
		p.add(field.Forbidden(path.Child("privileged"), "may only be false; remove it"))
	}
	p.id(s.RunAsUser, path.Child("runAsUser"))
	p.id(s.RunAsGroup, path.Child("runAsGroup"))
	if s.Capabilities == nil || len(s.Capabilities.Add) == 0 || p.features.Enabled(config.ContainerSpecAddCapabilities) {
		return
	}
	onlyLowPorts := slices.Equal(s.Capabilities.Add, []corev1.Capability{bindLowPorts})
	switch {
	case p.features.SecurePods() && onlyLowPorts:
	case p.features.Open(config.ContainerSpecAddCapabilities) || p.features.SecurePods(): // where both are off, the field itself has been refused
		p.add(p.notEnabled(config.ContainerSpecAddCapabilities, path.Child("capabilities", "add")))
	}
}

func (p *pod) id(id *int64, path *field.Path) {
	if id != nil && (*id < 0 || *id > math.MaxInt32) {
		p.add(field.Invalid(path, *id, "must be from 0 to 2147483647"))
	}
}

// insecureDefaults warns of what a container leaves to Kubernetes although the restricted profile wants it said.
func (r *Result) insecureDefaults(spec *corev1.PodSpec, features config.Features, path *field.Path) {
	if features.SecurePods() {
		return
	}
	psc := ptr.Deref(spec.SecurityContext, corev1.PodSecurityContext{})
	var unsaid []string
	for _, list := range []struct {
		field      string
		containers []corev1.Container
	}{{"containers", spec.Containers}, {"initContainers", spec.InitContainers}} {
		for i := range list.containers {
			at := path.Child(list.field).Index(i).Child("securityContext")
			s := ptr.Deref(list.containers[i].SecurityContext, corev1.SecurityContext{})
			for _, name := range unsaidBy(s, psc) {
				unsaid = append(unsaid, at.Child(name).String())
			}
			if s.Capabilities != nil && len(s.Capabilities.Drop) > 0 && s.Capabilities.Drop[0] == "all" {
				r.warn("%s: \"all\" drops nothing; it must be spelled as 'ALL'", at.Child("capabilities", "drop"))
			}
		}
	}
	if len(unsaid) > 0 {
		r.warn("Kubernetes default value is insecure, Knative may default this to secure in a future release: %s", strings.Join(unsaid, ", "))
	}
}

// unsaidBy names the settings that neither the container nor its pod makes.
func unsaidBy(s corev1.SecurityContext, psc corev1.PodSecurityContext) []string {
	var unsaid []string
	if s.AllowPrivilegeEscalation == nil {
		unsaid = append(unsaid, "allowPrivilegeEscalation")
	}
	switch {
	case s.Capabilities == nil:
		unsaid = append(unsaid, "capabilities")
	case s.Capabilities.Drop == nil:
		unsaid = append(unsaid, "capabilities.drop")
	}
	if psc.RunAsNonRoot == nil && s.RunAsNonRoot == nil {
		unsaid = append(unsaid, "runAsNonRoot")
	}
	if ptr.Deref(s.SeccompProfile, corev1.SeccompProfile{}).Type == "" && ptr.Deref(psc.SeccompProfile, corev1.SeccompProfile{}).Type == "" {
		unsaid = append(unsaid, "seccompProfile")
	}
	return unsaid
}

package defaulting

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/config"
)

// securityContext makes a container follow Kubernetes' restricted profile where its user says nothing, if the cluster wants that.
// pod is the pod's own context, nil if it has none: what it says counts for the container too.
func securityContext(c *corev1.Container, pod *corev1.PodSecurityContext, features config.Features) {
	if !features.SecurePods() {
		return
	}
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	if c.SecurityContext == nil {
		c.SecurityContext = &corev1.SecurityContext{}
	}
	s := c.SecurityContext
	if s.AllowPrivilegeEscalation == nil {
		s.AllowPrivilegeEscalation = ptr.To(false)
	}
	if pod.SeccompProfile == nil || pod.SeccompProfile.Type == "" {
		if s.SeccompProfile == nil {
			s.SeccompProfile = &corev1.SeccompProfile{}
		}
		if s.SeccompProfile.Type == "" {
			s.SeccompProfile.Type = corev1.SeccompProfileTypeRuntimeDefault
		}
	}
	if s.Capabilities == nil {
		s.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
		if bindsLowPort(c) {
			s.Capabilities.Add = []corev1.Capability{"NET_BIND_SERVICE"}
		}
	}
	if features.Enabled(config.SecurePodDefaults) && pod.RunAsNonRoot == nil && s.RunAsNonRoot == nil {
		s.RunAsNonRoot = ptr.To(true)
	}
}

func bindsLowPort(c *corev1.Container) bool {
	for _, p := range c.Ports {
		if p.ContainerPort < 1024 {
			return true
		}
	}
	return false
}

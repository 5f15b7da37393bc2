package validation

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/config"
)

func (p *pod) probes(c *corev1.Container, what role, path *field.Path) {
	for _, part := range []struct {
		field string
		probe *corev1.Probe
	}{{"livenessProbe", c.LivenessProbe}, {"readinessProbe", c.ReadinessProbe}, {"startupProbe", c.StartupProbe}} {
		at := path.Child(part.field)
		switch {
		case part.probe == nil:
		case what == inits:
			p.add(field.Forbidden(at, "field not allowed in an init container, remove it"))
		case what == helps && !p.features.Enabled(config.MultiContainerProbing):
			p.add(field.Forbidden(at, fmt.Sprintf("must not be set on a container without ports; remove it, or set %s to Enabled in %s",
				config.MultiContainerProbing, config.ObjectName(config.FeaturesName))))
		default:
			p.probe(part.probe, what, at)
			if part.probe == c.ReadinessProbe {
				p.readiness(part.probe, at)
			}
		}
	}
}

func (p *pod) probe(probe *corev1.Probe, what role, path *field.Path) {
	var handlers []string
	if h := probe.HTTPGet; h != nil {
		handlers = append(handlers, "httpGet")
		p.probePort(h.Port, what, path.Child("httpGet", "port"))
	}
	if h := probe.TCPSocket; h != nil {
		handlers = append(handlers, "tcpSocket")
		p.probePort(h.Port, what, path.Child("tcpSocket", "port"))
	}
	if probe.Exec != nil {
		handlers = append(handlers, "exec")
	}
	if probe.GRPC != nil {
		handlers = append(handlers, "grpc")
	}
	switch {
	case len(handlers) == 0:
		p.add(field.Required(path, "expected exactly one of httpGet, tcpSocket, exec and grpc, got neither"))
	case len(handlers) > 1:
		p.add(field.Forbidden(path, fmt.Sprintf("expected exactly one way to probe, got %v; keep one", handlers)))
	}
}

// probePort validates where to probe: on the serving container a name must be its port's, elsewhere there is no default.
func (p *pod) probePort(port intstr.IntOrString, what role, path *field.Path) {
	switch {
	case what == serves && port.StrVal != "" && port.StrVal != p.port.Name:
		p.add(field.Invalid(path, port.StrVal, fmt.Sprintf("Probe port must match container port; write %q, its number, or nothing", p.port.Name)))
	case what != serves && port.StrVal == "" && port.IntVal == 0:
		p.add(field.Required(path, "Probe port must be specified on a container without ports"))
	}
}

func (p *pod) readiness(probe *corev1.Probe, path *field.Path) {
	least := func(name string, value, least int32) {
		if value < least {
			p.add(field.Invalid(path.Child(name), value, fmt.Sprintf("must be at least %d", least)))
		}
	}
	least("periodSeconds", probe.PeriodSeconds, 0)
	least("initialDelaySeconds", probe.InitialDelaySeconds, 0)
	least("successThreshold", probe.SuccessThreshold, 1)
	if probe.PeriodSeconds != 0 {
		least("timeoutSeconds", probe.TimeoutSeconds, 1)
		least("failureThreshold", probe.FailureThreshold, 1)
		return
	}
	for _, part := range []struct {
		field string
		value int32
	}{{"failureThreshold", probe.FailureThreshold}, {"timeoutSeconds", probe.TimeoutSeconds}} {
		if part.value != 0 {
			p.add(field.Forbidden(path.Child(part.field), part.field+" is disallowed when periodSeconds is zero; remove it, or give a period"))
		}
	}
}

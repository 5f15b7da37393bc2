package validation

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/crds/serving/podspec"
)

var (
	reservedEnv        = sets.New("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")
	reservedSidecarEnv = reservedEnv.Difference(sets.New("PORT"))
	portNames          = sets.New("", string(networking.ProtocolHTTP1), string(networking.ProtocolH2C))
)

// role is what a container is for. It decides which rules apply.
type role int

const (
	serves role = iota // takes the requests
	helps              // runs beside
	inits              // runs before
)

// pod validates the pod of a revision.
type pod struct {
	features config.Features
	volumes  map[string]*corev1.Volume
	// port is that of the serving container, with its defaults.
	port corev1.ContainerPort
	errs field.ErrorList
}

func (p *pod) add(errs ...*field.Error) { p.errs = append(p.errs, errs...) }

func (p *pod) validate(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	p.add(podspec.Check(spec, func(feature string) bool { return p.features.Open(config.Feature(feature)) }, path)...)
	if automount := spec.AutomountServiceAccountToken; automount != nil && *automount {
		p.add(field.Forbidden(path.Child("automountServiceAccountToken"), "may only be false; remove it"))
	}
	if account := spec.ServiceAccountName; account != "" {
		if problems := validation.IsDNS1123Subdomain(account); len(problems) > 0 {
			p.add(field.Invalid(path.Child("serviceAccountName"), account, "is no name: "+problems[0]))
		}
	}
	p.podSecurityContext(spec.SecurityContext, path.Child("securityContext"))
	p.validateVolumes(spec, path.Child("volumes"))
	p.findPort(spec.Containers, path.Child("containers"))
	p.containers(spec, path)
	return p.errs
}

func (p *pod) containers(spec *corev1.PodSpec, path *field.Path) {
	switch {
	case len(spec.Containers) == 0:
		p.add(field.Required(path.Child("containers"), "give one container with an image"))
	case len(spec.Containers) > 1 && !p.features.Enabled(config.MultiContainer):
		p.add(field.TooMany(path.Child("containers"), len(spec.Containers), 1))
		return
	}
	if len(spec.InitContainers) > 0 && p.features.Flag(config.PodSpecInitContainers) == config.Allowed {
		p.add(field.Forbidden(path.Child("initContainers"), fmt.Sprintf("must not be set; remove it, or set %s to Enabled in %s",
			config.PodSpecInitContainers, config.ObjectName(config.FeaturesName))))
	}
	names := sets.New[string]()
	for i := range spec.Containers {
		what := helps
		if len(spec.Containers) == 1 || len(spec.Containers[i].Ports) > 0 {
			what = serves
		}
		p.container(&spec.Containers[i], what, names, path.Child("containers").Index(i))
	}
	for i := range spec.InitContainers {
		p.container(&spec.InitContainers[i], inits, names, path.Child("initContainers").Index(i))
	}
}

// findPort takes the one port that all containers may have between them.
func (p *pod) findPort(containers []corev1.Container, path *field.Path) {
	count := 0
	for i := range containers {
		for n, port := range containers[i].Ports {
			if count++; count == 1 {
				p.port = port
			} else {
				p.add(field.Forbidden(path.Index(i).Child("ports").Index(n),
					"more than one container port is set; only a single port is allowed across all containers, remove the others"))
			}
		}
	}
	if count == 0 && len(containers) > 1 {
		p.add(field.Required(path.Index(0).Child("ports"), "give the container that takes the requests a port, such as {containerPort: 8080}"))
	}
	if p.port.Name == "" {
		p.port.Name = "http"
	}
	if p.port.ContainerPort == 0 {
		p.port.ContainerPort = networking.DefaultUserPort
	}
}

func (p *pod) container(c *corev1.Container, what role, names sets.Set[string], path *field.Path) {
	p.containerName(c.Name, names, path.Child("name"))
	switch _, err := name.ParseReference(c.Image, name.WeakValidation); {
	case c.Image == "":
		p.add(field.Required(path.Child("image"), "name an image"))
	case err != nil:
		p.add(field.Invalid(path.Child("image"), c.Image, fmt.Sprintf("Failed to parse image reference: %v", err)))
	}
	p.probes(c, what, path)
	p.env(c, what, path)
	p.ports(c.Ports, what, path.Child("ports"))
	p.resources(&c.Resources, path.Child("resources"))
	p.securityContext(c.SecurityContext, path.Child("securityContext"))
	p.mounts(c.VolumeMounts, path.Child("volumeMounts"))
	switch c.TerminationMessagePolicy {
	case "", corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError:
	default:
		p.add(field.NotSupported(path.Child("terminationMessagePolicy"), c.TerminationMessagePolicy,
			[]corev1.TerminationMessagePolicy{corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError}))
	}
	switch c.ImagePullPolicy {
	case "", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
	default:
		p.add(field.NotSupported(path.Child("imagePullPolicy"), c.ImagePullPolicy,
			[]corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}))
	}
}

func (p *pod) containerName(name string, names sets.Set[string], path *field.Path) {
	if name == "" {
		p.add(field.Required(path, "name the container; container-name-template in "+config.ObjectName(config.DefaultsName)+" makes no name here"))
		return
	}
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		p.add(field.Invalid(path, name, "is no name of a container: "+problems[0]))
	}
	if name == serving.SidecarContainerName {
		p.add(field.Forbidden(path, fmt.Sprintf("%q is a reserved container name, choose another", name)))
	}
	if names.Has(name) {
		p.add(field.Duplicate(path, name))
	}
	names.Insert(name)
}

func (p *pod) env(c *corev1.Container, what role, path *field.Path) {
	reserved := reservedEnv
	if what != serves {
		reserved = reservedSidecarEnv
	}
	for i := range c.Env {
		at := path.Child("env").Index(i).Child("name")
		switch env := &c.Env[i]; {
		case env.Name == "":
			p.add(field.Required(at, "name the variable"))
		case reserved.Has(env.Name):
			p.add(field.Forbidden(at, fmt.Sprintf("%q is a reserved environment variable, the system sets it; choose another", env.Name)))
		}
	}
	for i := range c.EnvFrom {
		at, from := path.Child("envFrom").Index(i), &c.EnvFrom[i]
		switch {
		case from.ConfigMapRef != nil && from.SecretRef != nil:
			p.add(field.Forbidden(at, "expected exactly one of configMapRef and secretRef, got both; make two entries"))
		case from.ConfigMapRef == nil && from.SecretRef == nil:
			p.add(field.Required(at, "expected exactly one of configMapRef and secretRef, got neither"))
		}
	}
}

func (p *pod) ports(ports []corev1.ContainerPort, what role, path *field.Path) {
	for i := range ports {
		port, at := &ports[i], path.Index(i)
		if networking.IsReservedPort(port.ContainerPort) {
			p.add(field.Invalid(at.Child("containerPort"), port.ContainerPort, "is a reserved port, the replica's proxy uses it; choose another"))
		}
		if port.ContainerPort < 0 || port.ContainerPort > 65535 {
			p.add(field.Invalid(at.Child("containerPort"), port.ContainerPort, "must be from 0 (the default, 8080) to 65535"))
		}
		if what == inits {
			continue
		}
		if port.Protocol != "" && port.Protocol != corev1.ProtocolTCP {
			p.add(field.NotSupported(at.Child("protocol"), port.Protocol, []corev1.Protocol{corev1.ProtocolTCP}))
		}
		if !portNames.Has(port.Name) {
			p.add(field.Invalid(at.Child("name"), port.Name, "Port name is not allowed; it must be empty, or one of: 'h2c', 'http1'"))
		}
	}
}

func (p *pod) resources(r *corev1.ResourceRequirements, path *field.Path) {
	for _, list := range []struct {
		field string
		of    corev1.ResourceList
	}{{"requests", r.Requests}, {"limits", r.Limits}} {
		for _, name := range sortedKeys(byString(list.of)) {
			if q := list.of[corev1.ResourceName(name)]; q.Sign() < 0 {
				p.add(field.Invalid(path.Child(list.field).Key(name), q.String(), "must not be negative"))
			}
		}
	}
	for _, name := range sortedKeys(byString(r.Requests)) {
		request := r.Requests[corev1.ResourceName(name)]
		if limit, ok := r.Limits[corev1.ResourceName(name)]; ok && request.Cmp(limit) > 0 {
			p.add(field.Invalid(path.Child("requests").Key(name), request.String(), fmt.Sprintf("must be at most the limit, %s", limit.String())))
		}
	}
}

func byString(list corev1.ResourceList) map[string]struct{} {
	names := make(map[string]struct{}, len(list))
	for name := range list {
		names[string(name)] = struct{}{}
	}
	return names
}

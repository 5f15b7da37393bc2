package defaulting

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/config"
	v1 "ebb.dev/ebb/crds/serving/v1"
)

// revisionSpec completes spec. parent is the Service or Configuration of its template. links is enableServiceLinks where it is not said.
func revisionSpec(spec *v1.RevisionSpec, parent metav1.ObjectMeta, links *bool, in Input) {
	timeouts(spec, in.Defaults)
	if spec.ContainerConcurrency == nil {
		spec.ContainerConcurrency = ptr.To(in.Defaults.ContainerConcurrency)
	}
	if spec.EnableServiceLinks == nil && links != nil {
		spec.EnableServiceLinks = ptr.To(*links)
	}
	names := sets.New[string]()
	for _, c := range append(append([]corev1.Container{}, spec.Containers...), spec.InitContainers...) {
		names.Insert(c.Name)
	}
	nameContainers(spec.Containers, names, in.Defaults.UserContainerName(parent))
	nameContainers(spec.InitContainers, names, in.Defaults.InitContainerName(parent))

	writable := writableVolumes(spec.Volumes)
	for i := range spec.Containers {
		c := &spec.Containers[i]
		resources(&c.Resources, in.Defaults)
		serves := len(spec.Containers) == 1 || len(c.Ports) > 0
		probes(c, serves)
		for p := range c.Ports {
			if c.Ports[p].Protocol == "" {
				c.Ports[p].Protocol = corev1.ProtocolTCP
			}
		}
		for m := range c.VolumeMounts {
			if !writable.Has(c.VolumeMounts[m].Name) {
				c.VolumeMounts[m].ReadOnly = true
			}
		}
		securityContext(c, spec.SecurityContext, in.Features)
	}
	for i := range spec.InitContainers {
		securityContext(&spec.InitContainers[i], spec.SecurityContext, in.Features)
	}
}

// timeouts fills in how long requests may take. The other two are filled in only where the cluster has a default that means something
// beside this revision's timeout.
func timeouts(spec *v1.RevisionSpec, d *config.Defaults) {
	if ptr.Deref(spec.TimeoutSeconds, 0) == 0 {
		spec.TimeoutSeconds = ptr.To(d.RevisionTimeoutSeconds)
	}
	means := func(seconds int64) bool { return seconds != 0 && seconds < *spec.TimeoutSeconds }
	if spec.IdleTimeoutSeconds == nil && means(d.RevisionIdleTimeoutSeconds) {
		spec.IdleTimeoutSeconds = ptr.To(d.RevisionIdleTimeoutSeconds)
	}
	if spec.ResponseStartTimeoutSeconds == nil && means(d.RevisionResponseStartTimeoutSeconds) {
		spec.ResponseStartTimeoutSeconds = ptr.To(d.RevisionResponseStartTimeoutSeconds)
	}
}

// nameContainers names those without a name: name itself if it is the only container and the name is free, name-0, name-1 … otherwise.
func nameContainers(containers []corev1.Container, taken sets.Set[string], name string) {
	next := 0
	for i := range containers {
		if containers[i].Name != "" || name == "" {
			continue
		}
		candidate := name
		for len(containers) > 1 || taken.Has(candidate) {
			suffix := "-" + strconv.Itoa(next)
			candidate = name[:min(len(name), validation.DNS1123LabelMaxLength-len(suffix))] + suffix
			next++
			if !taken.Has(candidate) {
				break
			}
		}
		containers[i].Name = candidate
	}
}

func resources(r *corev1.ResourceRequirements, d *config.Defaults) {
	for _, part := range []struct {
		name           corev1.ResourceName
		request, limit *resource.Quantity
	}{
		{corev1.ResourceCPU, d.CPURequest, d.CPULimit},
		{corev1.ResourceMemory, d.MemoryRequest, d.MemoryLimit},
		{corev1.ResourceEphemeralStorage, d.EphemeralStorageRequest, d.EphemeralStorageLimit},
	} {
		r.Requests = withDefault(r.Requests, part.name, part.request)
		r.Limits = withDefault(r.Limits, part.name, part.limit)
	}
}

func withDefault(list corev1.ResourceList, name corev1.ResourceName, quantity *resource.Quantity) corev1.ResourceList {
	if _, set := list[name]; set || quantity == nil {
		return list
	}
	if list == nil {
		list = corev1.ResourceList{}
	}
	list[name] = quantity.DeepCopy()
	return list
}

// probes gives the serving container a TCP probe if it has none, and every probe what Kubernetes would.
func probes(c *corev1.Container, serves bool) {
	if serves {
		if c.ReadinessProbe == nil {
			c.ReadinessProbe = &corev1.Probe{}
		}
		if h := &c.ReadinessProbe.ProbeHandler; h.TCPSocket == nil && h.HTTPGet == nil && h.Exec == nil && h.GRPC == nil {
			h.TCPSocket = &corev1.TCPSocketAction{}
		}
	}
	if p := c.ReadinessProbe; p != nil {
		if p.SuccessThreshold == 0 {
			p.SuccessThreshold = 1
		}
		// A period of 0 is Knative's own probing, as fast as it can; the other settings have no meaning then.
		if p.PeriodSeconds != 0 && p.FailureThreshold == 0 {
			p.FailureThreshold = 3
		}
		if p.PeriodSeconds != 0 && p.TimeoutSeconds == 0 {
			p.TimeoutSeconds = 1
		}
	}
	for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe, c.StartupProbe} {
		if p != nil && p.GRPC != nil && p.GRPC.Service == nil {
			p.GRPC.Service = ptr.To("")
		}
	}
}

// writableVolumes are those whose mounts may be written to. All others are mounted read-only.
func writableVolumes(volumes []corev1.Volume) sets.Set[string] {
	names := sets.New[string]()
	for _, v := range volumes {
		if v.EmptyDir != nil || v.PersistentVolumeClaim != nil || v.Ephemeral != nil {
			names.Insert(v.Name)
		}
	}
	return names
}

package config

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// DeploymentName is the ConfigMap that ParseDeployment reads.
const DeploymentName = "config-deployment"

// AffinityType says how replicas are spread.
type AffinityType string

const (
	// AffinityNone leaves replicas to the scheduler.
	AffinityNone AffinityType = "none"
	// AffinityPreferSpread prefers different nodes for replicas of one revision.
	AffinityPreferSpread AffinityType = "prefer-spread-revision-over-nodes"
)

// Deployment is what config-deployment says. Treat it as immutable.
type Deployment struct {
	// RegistriesSkippingTagResolving are registries whose tags are not resolved to digests.
	RegistriesSkippingTagResolving []string
	// DigestResolutionTimeout bounds that resolving.
	DigestResolutionTimeout time.Duration
	// ProgressDeadline is how long a revision may take to come up, in whole seconds.
	ProgressDeadline time.Duration
	// PodIsAlwaysSchedulable keeps a revision from failing while no node has room for it.
	PodIsAlwaysSchedulable bool
	// Affinity is how replicas are spread where users say nothing.
	Affinity AffinityType

	// SidecarImage is the image of the replica's sidecar; "" is Ebb's own.
	SidecarImage string
	// Requests and limits of the sidecar. nil leaves it without.
	SidecarCPURequest, SidecarCPULimit                           *resource.Quantity
	SidecarMemoryRequest, SidecarMemoryLimit                     *resource.Quantity
	SidecarEphemeralStorageRequest, SidecarEphemeralStorageLimit *resource.Quantity
	// SidecarTLSMinVersion and SidecarTLSMaxVersion are "1.2", "1.3" or "" for Envoy's own choice.
	SidecarTLSMinVersion, SidecarTLSMaxVersion string
	// SidecarTLSCipherSuites and SidecarTLSCurves are names as Go spells them; none is Envoy's own choice.
	SidecarTLSCipherSuites, SidecarTLSCurves []string
	// SidecarTokenAudiences and SidecarRootCA are kept for extensions of Knative's sidecar, which Ebb's has none of.
	SidecarTokenAudiences []string
	SidecarRootCA         string

	// runtimeClasses maps a runtime class to the labels of revisions that run under it.
	runtimeClasses map[string]map[string]string
}

// RuntimeClass returns the runtime class for a revision with these labels, nil for the cluster's own.
func (d *Deployment) RuntimeClass(revision map[string]string) *string {
	if class, ok := mostSpecific(d.runtimeClasses, revision); ok && class != "" {
		return &class
	}
	return nil
}

// ParseDeployment reads the data of config-deployment.
func ParseDeployment(data map[string]string) (*Deployment, []string, error) {
	r := read(DeploymentName, data)
	d := &Deployment{
		RegistriesSkippingTagResolving: []string{"kind.local", "ko.local", "dev.local"},
		DigestResolutionTimeout:        10 * time.Second,
		ProgressDeadline:               600 * time.Second,
		Affinity:                       AffinityPreferSpread,
		SidecarCPURequest:              ptr.To(resource.MustParse("25m")),
	}
	r.list(&d.RegistriesSkippingTagResolving, "registries-skipping-tag-resolving", "registriesSkippingTagResolving")
	r.duration(&d.DigestResolutionTimeout, "digest-resolution-timeout", "digestResolutionTimeout")
	r.duration(&d.ProgressDeadline, "progress-deadline", "progressDeadline")
	r.truth(&d.PodIsAlwaysSchedulable, "pod-is-always-schedulable")
	choice(r, &d.Affinity, []AffinityType{AffinityNone, AffinityPreferSpread}, "default-affinity-type")
	d.readSidecar(r)
	d.readRuntimeClasses(r)
	if d.ProgressDeadline < time.Second || d.ProgressDeadline%time.Second != 0 {
		r.fail("progress-deadline", "%v must be whole seconds, at least 1s", d.ProgressDeadline)
	}
	if d.DigestResolutionTimeout <= 0 {
		r.fail("digest-resolution-timeout", "%v must be more than 0s", d.DigestResolutionTimeout)
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return d, warnings, nil
}

func (d *Deployment) readSidecar(r *reader) {
	r.text(&d.SidecarImage, "queue-sidecar-image", "queueSidecarImage")
	r.quantity(&d.SidecarCPURequest, "queue-sidecar-cpu-request", "queueSidecarCPURequest")
	r.quantity(&d.SidecarCPULimit, "queue-sidecar-cpu-limit", "queueSidecarCPULimit")
	r.quantity(&d.SidecarMemoryRequest, "queue-sidecar-memory-request", "queueSidecarMemoryRequest")
	r.quantity(&d.SidecarMemoryLimit, "queue-sidecar-memory-limit", "queueSidecarMemoryLimit")
	r.quantity(&d.SidecarEphemeralStorageRequest, "queue-sidecar-ephemeral-storage-request", "queueSidecarEphemeralStorageRequest")
	r.quantity(&d.SidecarEphemeralStorageLimit, "queue-sidecar-ephemeral-storage-limit", "queueSidecarEphemeralStorageLimit")
	versions := []string{"1.2", "1.3"}
	choice(r, &d.SidecarTLSMinVersion, versions, "queue-sidecar-tls-min-version")
	choice(r, &d.SidecarTLSMaxVersion, versions, "queue-sidecar-tls-max-version")
	r.list(&d.SidecarTLSCipherSuites, "queue-sidecar-tls-cipher-suites")
	r.list(&d.SidecarTLSCurves, "queue-sidecar-tls-curve-preferences")
	r.list(&d.SidecarTokenAudiences, "queue-sidecar-token-audiences")
	r.text(&d.SidecarRootCA, "queue-sidecar-rootca")
}

func (d *Deployment) readRuntimeClasses(r *reader) {
	const key = "runtime-class-name"
	raw := ""
	r.text(&raw, key)
	var classes map[string]selector
	if err := yaml.UnmarshalStrict([]byte(raw), &classes); err != nil {
		r.fail(key, "is no map of runtime classes to selectors: %v; write YAML such as \"kata: {selector: {app: secret}}\"", err)
		return
	}
	d.runtimeClasses = make(map[string]map[string]string, len(classes))
	for class, s := range classes {
		if problems := validation.NameIsDNSSubdomain(class, false); class != "" && len(problems) > 0 {
			r.fail(key, "%q is no name of a runtime class: %s", class, problems[0])
		}
		if _, err := labels.ValidatedSelectorFromSet(s.Selector); err != nil {
			r.fail(key, "the selector of %q is wrong: %v", class, err)
		}
		d.runtimeClasses[class] = s.Selector
	}
}

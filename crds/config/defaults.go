package config

import (
	"text/template"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// DefaultsName is the ConfigMap that ParseDefaults reads.
const DefaultsName = "config-defaults"

// Defaults is what config-defaults says. Treat it as immutable.
type Defaults struct {
	// RevisionTimeoutSeconds is how long a request may take, and MaxRevisionTimeoutSeconds the most a revision may ask for.
	RevisionTimeoutSeconds    int64
	MaxRevisionTimeoutSeconds int64
	// RevisionResponseStartTimeoutSeconds is how long a request may wait for the first byte. 0 is no limit.
	RevisionResponseStartTimeoutSeconds int64
	// RevisionIdleTimeoutSeconds is how long a request may stay open without a byte. 0 is no limit.
	RevisionIdleTimeoutSeconds int64

	// ContainerConcurrency is the requests a replica takes at once, and ContainerConcurrencyMaxLimit the most a revision may ask for.
	ContainerConcurrency         int64
	ContainerConcurrencyMaxLimit int64
	// AllowContainerConcurrencyZero lets revisions have no limit.
	AllowContainerConcurrencyZero bool

	// EnableServiceLinks is the pod's field; nil leaves it to Kubernetes.
	EnableServiceLinks *bool

	// Requests and limits of containers that have none of their own. nil leaves them without.
	CPURequest, CPULimit                           *resource.Quantity
	MemoryRequest, MemoryLimit                     *resource.Quantity
	EphemeralStorageRequest, EphemeralStorageLimit *resource.Quantity

	userContainer, initContainer *template.Template
}

// UserContainerName returns the name for containers without one, in the Service or Configuration parent.
func (d *Defaults) UserContainerName(parent metav1.ObjectMeta) string {
	return nameFor(d.userContainer, parent)
}

// InitContainerName is the same for init containers.
func (d *Defaults) InitContainerName(parent metav1.ObjectMeta) string {
	return nameFor(d.initContainer, parent)
}

// nameFor returns "" where the template does not fit this parent; validation then asks for a name.
func nameFor(t *template.Template, parent metav1.ObjectMeta) string {
	name, err := execute(t, parent)
	if err != nil {
		return ""
	}
	return name
}

// ParseDefaults reads the data of config-defaults.
func ParseDefaults(data map[string]string) (*Defaults, []string, error) {
	r := read(DefaultsName, data)
	d := &Defaults{
		RevisionTimeoutSeconds:        300,
		MaxRevisionTimeoutSeconds:     600,
		ContainerConcurrencyMaxLimit:  1000,
		AllowContainerConcurrencyZero: true,
		EnableServiceLinks:            ptr.To(false),
	}
	r.whole(&d.RevisionTimeoutSeconds, "revision-timeout-seconds")
	r.whole(&d.MaxRevisionTimeoutSeconds, "max-revision-timeout-seconds")
	d.RevisionResponseStartTimeoutSeconds = d.RevisionTimeoutSeconds
	r.whole(&d.RevisionResponseStartTimeoutSeconds, "revision-response-start-timeout-seconds")
	r.whole(&d.RevisionIdleTimeoutSeconds, "revision-idle-timeout-seconds")
	r.whole(&d.ContainerConcurrency, "container-concurrency")
	r.whole(&d.ContainerConcurrencyMaxLimit, "container-concurrency-max-limit")
	r.truth(&d.AllowContainerConcurrencyZero, "allow-container-concurrency-zero")
	r.quantity(&d.CPURequest, "revision-cpu-request")
	r.quantity(&d.CPULimit, "revision-cpu-limit")
	r.quantity(&d.MemoryRequest, "revision-memory-request")
	r.quantity(&d.MemoryLimit, "revision-memory-limit")
	r.quantity(&d.EphemeralStorageRequest, "revision-ephemeral-storage-request")
	r.quantity(&d.EphemeralStorageLimit, "revision-ephemeral-storage-limit")
	d.readServiceLinks(r)
	d.userContainer = r.nameTemplate("container-name-template", "user-container")
	d.initContainer = r.nameTemplate("init-container-name-template", "init-container")
	d.check(r)
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return d, warnings, nil
}

func (d *Defaults) readServiceLinks(r *reader) {
	word := "false"
	choice(r, &word, []string{"true", "false", "default"}, "enable-service-links")
	d.EnableServiceLinks = map[string]*bool{"true": ptr.To(true), "false": ptr.To(false)}[word]
}

func (r *reader) nameTemplate(key, fallback string) *template.Template {
	raw := fallback
	r.text(&raw, key)
	t, err := template.New(key).Parse(raw)
	if err == nil {
		_, err = execute(t, metav1.ObjectMeta{Name: "name", Namespace: "namespace"})
	}
	if err != nil {
		r.fail(key, "%q makes no name: %v; write one such as %q or \"{{.Name}}\"", raw, err, fallback)
	}
	return t
}

func (d *Defaults) check(r *reader) {
	if d.RevisionTimeoutSeconds < 0 || d.RevisionTimeoutSeconds > d.MaxRevisionTimeoutSeconds {
		r.fail("revision-timeout-seconds", "%d must be from 0 to max-revision-timeout-seconds (%d); lower it or raise the maximum",
			d.RevisionTimeoutSeconds, d.MaxRevisionTimeoutSeconds)
	}
	for _, part := range []struct {
		key     string
		seconds int64
	}{
		{"revision-response-start-timeout-seconds", d.RevisionResponseStartTimeoutSeconds},
		{"revision-idle-timeout-seconds", d.RevisionIdleTimeoutSeconds},
	} {
		if part.seconds < 0 || part.seconds > d.RevisionTimeoutSeconds {
			r.fail(part.key, "%d must be from 0 (no limit) to revision-timeout-seconds (%d); lower it or raise the timeout",
				part.seconds, d.RevisionTimeoutSeconds)
		}
	}
	if d.ContainerConcurrencyMaxLimit < 1 {
		r.fail("container-concurrency-max-limit", "%d must be at least 1", d.ContainerConcurrencyMaxLimit)
	}
	if d.ContainerConcurrency < 0 || d.ContainerConcurrency > d.ContainerConcurrencyMaxLimit {
		r.fail("container-concurrency", "%d must be from 0 (no limit) to container-concurrency-max-limit (%d)",
			d.ContainerConcurrency, d.ContainerConcurrencyMaxLimit)
	}
}

package validation

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/crds/serving"
	v1 "ebb.dev/ebb/crds/serving/v1"
)

// template validates the revision template of parent, a Service or Configuration.
func (r *Result) template(t *v1.RevisionTemplateSpec, parent *metav1.ObjectMeta, cfg *config.Set, path *field.Path) {
	meta := path.Child("metadata")
	annotations := meta.Child("annotations")
	r.add(templateName(&t.ObjectMeta, parent, meta)...)
	r.autoscaling(t.Annotations, cfg, annotations)
	r.add(networking.ValidateAnnotations(t.Annotations, annotations)...)
	r.add(async.ValidateTemplate(t.Annotations, annotations)...)
	r.sidecarAnnotations(t.Annotations, annotations)
	if value, said := t.Annotations[serving.ReplicaProxyAnnotationKey]; said && value != serving.ReplicaProxyNode && value != serving.ReplicaProxySidecar {
		r.add(field.NotSupported(annotations.Key(serving.ReplicaProxyAnnotationKey), value, []string{serving.ReplicaProxyNode, serving.ReplicaProxySidecar}))
	}
	if value := t.Annotations[serving.ProgressDeadlineAnnotationKey]; value != "" {
		r.add(wholeSeconds(value, time.Second, annotations.Key(serving.ProgressDeadlineAnnotationKey))...)
	}
	r.revisionSpec(&t.Spec, cfg, path.Child("spec"))
}

// templateName validates the name that users give the next revision themselves.
func templateName(meta, parent *metav1.ObjectMeta, path *field.Path) field.ErrorList {
	errs := dns1035(meta.GenerateName, true, path.Child("generateName"))
	if meta.Name == "" {
		return errs
	}
	errs = append(errs, dns1035(meta.Name, false, path.Child("name"))...)
	switch prefix := parent.Name + "-"; {
	case parent.Name == "" && parent.GenerateName != "":
		errs = append(errs, field.Forbidden(path.Child("name"), "must not be set beside a generateName of the whole; remove one of them"))
	case !strings.HasPrefix(meta.Name, prefix):
		errs = append(errs, field.Invalid(path.Child("name"), meta.Name, fmt.Sprintf("must have prefix %q, such as %q", prefix, prefix+"v1")))
	}
	return errs
}

func (r *Result) sidecarAnnotations(annotations map[string]string, path *field.Path) {
	for _, key := range []string{
		serving.SidecarCPURequestAnnotationKey, serving.SidecarCPULimitAnnotationKey,
		serving.SidecarMemoryRequestAnnotationKey, serving.SidecarMemoryLimitAnnotationKey,
		serving.SidecarEphemeralStorageRequestAnnotationKey, serving.SidecarEphemeralStorageLimitAnnotationKey,
	} {
		if value, ok := annotations[key]; ok {
			if _, err := resource.ParseQuantity(value); err != nil {
				r.add(field.Invalid(path.Key(key), value, "must be a quantity, such as \"100m\" or \"64Mi\""))
			}
		}
	}
	key, value, found := serving.Lookup(annotations,
		serving.SidecarResourcePercentageAnnotationKey, serving.SidecarResourcePercentageAltAnnotationKey)
	if !found {
		return
	}
	r.warn("%s: Queue proxy resource percentage annotation is deprecated. Please use the available annotations to explicitly set resource values per service",
		path.Key(key))
	if percent, err := strconv.ParseFloat(value, 64); err != nil || !(percent >= 0.1 && percent <= 100) {
		r.add(field.Invalid(path.Key(key), value, "must be a percentage from 0.1 to 100"))
	}
}

func (r *Result) revisionSpec(spec *v1.RevisionSpec, cfg *config.Set, path *field.Path) {
	p := pod{features: cfg.Features}
	r.add(p.validate(&spec.PodSpec, path)...)
	r.insecureDefaults(&spec.PodSpec, cfg.Features, path)
	r.timeouts(spec, cfg.Defaults, path)
	if c := spec.ContainerConcurrency; c != nil {
		r.add(ContainerConcurrency(*c, cfg.Defaults, path.Child("containerConcurrency"))...)
	}
}

// ContainerConcurrency validates the requests that a replica takes at once.
func ContainerConcurrency(n int64, d *config.Defaults, path *field.Path) field.ErrorList {
	least, none := int64(0), " (no limit)"
	if !d.AllowContainerConcurrencyZero {
		least, none = 1, ""
	}
	if n < least || n > d.ContainerConcurrencyMaxLimit {
		return field.ErrorList{field.Invalid(path, n, fmt.Sprintf(
			"must be from %d%s to %d (container-concurrency-max-limit in ConfigMap knative-serving/config-defaults)", least, none, d.ContainerConcurrencyMaxLimit))}
	}
	return nil
}

// timeouts validates how long requests may take. A timeout that a shorter one always beats is no error: defaults of before may leave
// one behind when a user shortens timeoutSeconds.
func (r *Result) timeouts(spec *v1.RevisionSpec, d *config.Defaults, path *field.Path) {
	timeout := ptr.Deref(spec.TimeoutSeconds, 0)
	if timeout < 0 || timeout > d.MaxRevisionTimeoutSeconds {
		r.add(field.Invalid(path.Child("timeoutSeconds"), timeout, fmt.Sprintf(
			"must be from 0 (the cluster's default) to %d (max-revision-timeout-seconds in ConfigMap knative-serving/config-defaults)", d.MaxRevisionTimeoutSeconds)))
	}
	for _, part := range []struct {
		field   string
		seconds int64
	}{
		{"responseStartTimeoutSeconds", ptr.Deref(spec.ResponseStartTimeoutSeconds, 0)},
		{"idleTimeoutSeconds", ptr.Deref(spec.IdleTimeoutSeconds, 0)},
	} {
		switch {
		case part.seconds < 0:
			r.add(field.Invalid(path.Child(part.field), part.seconds, "must be 0 (no limit) or more"))
		case timeout > 0 && part.seconds > timeout:
			r.warn("%s: %d has no effect; timeoutSeconds (%d) ends the request before", path.Child(part.field), part.seconds, timeout)
		}
	}
}

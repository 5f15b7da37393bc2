package validation

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	"ebb.dev/ebb/crds/sources/schedule"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	sourcesv1beta1 "ebb.dev/ebb/crds/sources/v1beta1"
)

// source validates what every source has.
func (r *Result) source(s *duck.SourceSpec, cfg *config.Eventing) {
	r.destination(&s.Sink, cfg, specPath.Child("sink"))
	if s.CloudEventOverrides == nil {
		return
	}
	path := specPath.Child("ceOverrides", "extensions")
	for _, name := range slices.Sorted(maps.Keys(s.CloudEventOverrides.Extensions)) {
		switch {
		case !attributeName.MatchString(strings.ToLower(name)):
			r.add(field.Invalid(path.Key(name), name, attributeRule))
		case slices.Contains(contextAttributes, strings.ToLower(name)):
			r.add(field.Invalid(path.Key(name), name, "is an attribute of every event and cannot be overridden; name an extension"))
		}
	}
}

// PingSource validates s.
func PingSource(s, _ *sourcesv1.PingSource, cfg *config.Eventing) Result {
	var r Result
	r.schedule(s.Spec.Schedule, s.Spec.Timezone)
	r.payload(s.Spec.ContentType, s.Spec.Data, s.Spec.DataBase64, cfg)
	r.source(&s.Spec.SourceSpec, cfg)
	return r
}

// CronJobSource validates s.
func CronJobSource(s, _ *sourcesv1.CronJobSource, cfg *config.Eventing) Result {
	var r Result
	r.schedule(s.Spec.Schedule, s.Spec.Timezone)
	r.payload(s.Spec.ContentType, s.Spec.Data, s.Spec.DataBase64, cfg)
	r.source(&s.Spec.SourceSpec, cfg)
	if s.Spec.Resources != nil {
		r.warn("%s: has no effect, no pod runs for a CronJobSource", specPath.Child("resources"))
	}
	if s.Spec.ServiceAccountName != "" {
		r.warn("%s: has no effect, no pod runs for a CronJobSource", specPath.Child("serviceAccountName"))
	}
	return r
}

func (r *Result) schedule(expression, timezone string) {
	if _, err := schedule.Zone(timezone); err != nil {
		r.add(field.Invalid(specPath.Child("timezone"), timezone, "is no time zone; name one such as \"Europe/Vienna\""))
		timezone = ""
	}
	if _, err := schedule.Parse(expression, timezone); err != nil {
		r.add(field.Invalid(specPath.Child("schedule"), expression, err.Error()))
	}
}

func (r *Result) payload(contentType, data, encoded string, cfg *config.Eventing) {
	path, text := specPath.Child("data"), data
	switch {
	case data != "" && encoded != "":
		r.add(field.Forbidden(path, "must not be set beside dataBase64; remove one of them"))
		return
	case encoded != "":
		path = specPath.Child("dataBase64")
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			r.add(field.Invalid(path, encoded, "is not base64; encode the bytes by the standard alphabet with padding, or use data"))
			return
		}
		text = string(decoded)
	case data == "":
		return
	}
	if size, limit := int64(max(len(data), len(encoded))), cfg.Ping.DataMaxSize; limit != config.NoLimit && size > limit {
		r.add(field.TooLong(path, "", int(limit)))
		r.Errors[len(r.Errors)-1].Detail = fmt.Sprintf("has %d bytes, must have at most %d; shorten it, or raise data-max-size in %s",
			size, limit, config.EventingObjectName(config.PingDefaultsName))
	}
	media, _, _ := mime.ParseMediaType(contentType)
	if media == "application/json" && !json.Valid([]byte(text)) {
		r.add(field.Invalid(path, text, "is not JSON, as contentType says; correct it, or change contentType"))
	}
}

// APIServerSource validates s.
func APIServerSource(s, _ *sourcesv1.ApiServerSource, cfg *config.Eventing) Result {
	var r Result
	r.oneOf(s.Spec.EventMode, specPath.Child("mode"), sourcesv1.ReferenceMode, sourcesv1.ResourceMode)
	path := specPath.Child("resources")
	if len(s.Spec.Resources) == 0 {
		r.add(field.Required(path, "name at least one kind to watch by apiVersion and kind"))
	}
	for i, resource := range s.Spec.Resources {
		r.kind(resource.APIVersion, resource.Kind, path.Index(i))
		r.selector(resource.LabelSelector, path.Index(i).Child("selector"))
	}
	if owner := s.Spec.ResourceOwner; owner != nil {
		r.kind(owner.APIVersion, owner.Kind, specPath.Child("owner"))
	}
	r.selector(s.Spec.NamespaceSelector, specPath.Child("namespaceSelector"))
	if len(s.Spec.Filters) > 0 {
		r.open(config.NewAPIServerSourceFilters, cfg, specPath.Child("filters"))
	}
	r.filters(s.Spec.Filters, specPath.Child("filters"))
	r.source(&s.Spec.SourceSpec, cfg)
	return r
}

func (r *Result) kind(apiVersion, kind string, path *field.Path) {
	if _, err := schema.ParseGroupVersion(apiVersion); err != nil || apiVersion == "" {
		r.add(field.Invalid(path.Child("apiVersion"), apiVersion, "is no API version; write one such as \"v1\" or \"apps/v1\""))
	}
	if strings.TrimSpace(kind) == "" {
		r.add(field.Required(path.Child("kind"), "give the kind, such as Event"))
	}
}

func (r *Result) selector(selector *metav1.LabelSelector, path *field.Path) {
	if _, err := metav1.LabelSelectorAsSelector(selector); err != nil {
		r.add(field.Invalid(path, metav1.FormatLabelSelector(selector), fmt.Sprintf("is no label selector: %v", err)))
	}
}

// ContainerSource validates s.
func ContainerSource(s, _ *sourcesv1.ContainerSource, cfg *config.Eventing) Result {
	var r Result
	r.containers(s.Spec.Template.Spec.Containers, specPath.Child("template", "spec", "containers"))
	r.source(&s.Spec.SourceSpec, cfg)
	return r
}

func (r *Result) containers(containers []corev1.Container, path *field.Path) {
	if len(containers) == 0 {
		r.add(field.Required(path, "give at least one container"))
	}
	for i, container := range containers {
		if container.Name == "" {
			r.add(field.Required(path.Index(i).Child("name"), "give the container a name"))
		}
		if container.Image == "" {
			r.add(field.Required(path.Index(i).Child("image"), "name an image"))
		}
	}
}

// SinkBinding validates s.
func SinkBinding(s, _ *sourcesv1.SinkBinding, cfg *config.Eventing) Result {
	var r Result
	subject, path := &s.Spec.Subject, specPath.Child("subject")
	r.kind(subject.APIVersion, subject.Kind, path)
	switch {
	case subject.Name == "" && subject.Selector == nil:
		r.add(field.Required(path.Child("name"), "name the object, or give a selector"))
	case subject.Name != "" && subject.Selector != nil:
		r.add(field.Forbidden(path.Child("selector"), "must not be set beside name; remove one of them"))
	}
	r.selector(subject.Selector, path.Child("selector"))
	if subject.Namespace != s.Namespace {
		r.add(field.Invalid(path.Child("namespace"), subject.Namespace, fmt.Sprintf("must be the SinkBinding's own, %q", s.Namespace)))
	}
	r.source(&s.Spec.SourceSpec, cfg)
	return r
}

// KafkaSource validates s. old is the KafkaSource it replaces, nil for a new one.
func KafkaSource(s, old *sourcesv1.KafkaSource, cfg *config.Eventing) Result {
	var r Result
	spec := &s.Spec
	if len(spec.Topics) == 0 {
		r.add(field.Required(specPath.Child("topics"), "name at least one topic"))
	}
	r.bootstrapServers(spec.BootstrapServers)
	r.oneOf(string(spec.InitialOffset), specPath.Child("initialOffset"), string(sourcesv1.OffsetEarliest), string(sourcesv1.OffsetLatest))
	if spec.Ordering != nil {
		r.oneOf(string(*spec.Ordering), specPath.Child("ordering"), string(sourcesv1.Ordered), string(sourcesv1.Unordered))
	}
	if spec.Consumers != nil && *spec.Consumers < 0 {
		r.add(field.Invalid(specPath.Child("consumers"), *spec.Consumers, "must not be negative; 0 pauses"))
	}
	if keyType, ok := s.Labels[sourcesv1.KafkaKeyTypeLabelKey]; ok {
		r.oneOf(keyType, field.NewPath("metadata", "labels").Key(sourcesv1.KafkaKeyTypeLabelKey), "string", "int", "float", "byte-array")
	}
	r.delivery(spec.Delivery, cfg, specPath.Child("delivery"))
	r.source(&spec.SourceSpec, cfg)
	if old != nil && old.Spec.ConsumerGroup != "" {
		r.immutable(old.Spec.ConsumerGroup, spec.ConsumerGroup, specPath.Child("consumerGroup"), keepIt)
	}
	return r
}

// KafkaSourceV1Beta1 is KafkaSource for the older version, which says the same.
func KafkaSourceV1Beta1(s, old *sourcesv1beta1.KafkaSource, cfg *config.Eventing) Result {
	var before *sourcesv1.KafkaSource
	if old != nil {
		before = &sourcesv1.KafkaSource{ObjectMeta: old.ObjectMeta, Spec: old.Spec}
	}
	return KafkaSource(&sourcesv1.KafkaSource{ObjectMeta: s.ObjectMeta, Spec: s.Spec}, before, cfg)
}

// JobSink validates s. Of the Job it looks at what every Job needs; the API server judges the rest when a Job is made.
func JobSink(s, _ *sinksv1alpha1.JobSink, _ *config.Eventing) Result {
	var r Result
	path := specPath.Child("job")
	if s.Spec.Job == nil {
		r.add(field.Required(path, "give the Job to run for an event"))
		return r
	}
	pod := &s.Spec.Job.Spec.Template.Spec
	path = path.Child("spec", "template", "spec")
	r.containers(pod.Containers, path.Child("containers"))
	r.oneOf(string(pod.RestartPolicy), path.Child("restartPolicy"), string(corev1.RestartPolicyNever), string(corev1.RestartPolicyOnFailure))
	return r
}

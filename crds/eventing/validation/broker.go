package validation

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/crds/eventing/defaulting"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
)

// Broker validates b. old is the Broker it replaces, nil for a new one.
func Broker(b, old *eventingv1.Broker, cfg *config.Eventing) Result {
	var r Result
	class := b.Annotations[eventing.BrokerClassAnnotationKey]
	if class == "" {
		r.add(field.Required(annotationsPath.Key(eventing.BrokerClassAnnotationKey), "name a class, such as "+eventing.MTChannelBrokerClass))
	}
	if ref := b.Spec.Config; ref != nil {
		path := specPath.Child("config")
		r.reference(ref, cfg, path)
		if ref.Namespace != b.Namespace && cfg.BrokerDefaults.SameNamespaceOnly(b.Namespace) {
			r.add(field.Invalid(path.Child("namespace"), ref.Namespace, fmt.Sprintf(
				"must be the Broker's own, %q; disallowDifferentNamespaceConfig is set in %s", b.Namespace, config.EventingObjectName(config.BrokerDefaultsName))))
		}
	}
	r.delivery(b.Spec.Delivery, cfg, specPath.Child("delivery"))
	if old != nil {
		r.immutable(old.Annotations[eventing.BrokerClassAnnotationKey], class, annotationsPath.Key(eventing.BrokerClassAnnotationKey), keepClass)
		r.immutable(old.Spec.Config, b.Spec.Config, specPath.Child("config"), keepIt)
	}
	return r
}

// Trigger validates t. old is the Trigger it replaces, nil for a new one.
func Trigger(t, old *eventingv1.Trigger, cfg *config.Eventing) Result {
	var r Result
	spec := &t.Spec
	r.triggerBroker(spec, cfg)
	if spec.Filter != nil {
		r.attributes(spec.Filter.Attributes, specPath.Child("filter", "attributes"))
		if len(spec.Filters) > 0 && len(spec.Filter.Attributes) > 0 {
			r.warn("%s: has no effect, %s overrides it", specPath.Child("filter"), specPath.Child("filters"))
		}
	}
	r.filters(spec.Filters, specPath.Child("filters"))
	r.destination(&spec.Subscriber, cfg, specPath.Child("subscriber"))
	r.delivery(spec.Delivery, cfg, specPath.Child("delivery"))
	r.triggerAnnotations(t)
	if old != nil {
		r.immutable(old.Spec.Broker, spec.Broker, specPath.Child("broker"), keepIt)
		r.immutable(old.Spec.BrokerRef, spec.BrokerRef, specPath.Child("brokerRef"), keepIt)
	}
	return r
}

func (r *Result) triggerBroker(spec *eventingv1.TriggerSpec, cfg *config.Eventing) {
	if spec.BrokerRef == nil {
		if spec.Broker == "" {
			r.add(field.Required(specPath.Child("broker"), "name a Broker"))
		}
		return
	}
	path := specPath.Child("brokerRef")
	if spec.Broker != "" {
		r.add(field.Forbidden(path, "must not be set beside broker; remove one of them"))
	}
	r.reference(spec.BrokerRef, cfg, path)
	if spec.BrokerRef.Namespace != "" {
		r.open(config.CrossNamespaceEventLinks, cfg, path.Child("namespace"))
	}
}

func (r *Result) triggerAnnotations(t *eventingv1.Trigger) {
	if value, ok := t.Annotations[eventing.DependencyAnnotationKey]; ok {
		r.dependency(value, t.Namespace, annotationsPath.Key(eventing.DependencyAnnotationKey))
	}
	if value, ok := t.Annotations[eventing.InjectionAnnotationKey]; ok {
		path := annotationsPath.Key(eventing.InjectionAnnotationKey)
		r.oneOf(value, path, eventing.InjectionEnabled, eventing.InjectionDisabled)
		if t.Spec.Broker != eventing.DefaultBroker {
			r.add(field.Forbidden(path, fmt.Sprintf("is for the Broker %q only, this Trigger's is %q; remove the annotation", eventing.DefaultBroker, t.Spec.Broker)))
		}
	}
	if value, ok := t.Annotations[eventing.KafkaDeliveryOrderAnnotationKey]; ok {
		r.oneOf(value, annotationsPath.Key(eventing.KafkaDeliveryOrderAnnotationKey), "ordered", "unordered")
	}
	r.paused(&t.ObjectMeta)
	if value, ok := t.Annotations[eventing.DeliveryTimeoutAnnotationKey]; ok {
		if _, understood := defaulting.DeliveryTimeout(t.Annotations); !understood {
			r.add(field.Invalid(annotationsPath.Key(eventing.DeliveryTimeoutAnnotationKey), value,
				"must be a duration of more than nothing, such as \"30m\" or \"PT30M\""))
		}
	}
}

// paused validates the annotation that stops deliveries.
func (r *Result) paused(meta *metav1.ObjectMeta) {
	if value, ok := meta.Annotations[eventing.PausedAnnotationKey]; ok {
		r.oneOf(value, annotationsPath.Key(eventing.PausedAnnotationKey), "true", "false")
	}
}

// dependency validates the annotation by which a Trigger waits for another object.
func (r *Result) dependency(value, namespace string, path *field.Path) {
	var ref corev1.ObjectReference
	if err := json.Unmarshal([]byte(value), &ref); err != nil {
		r.add(field.Invalid(path, value, `must be an object reference as JSON, such as {"apiVersion":"sources.knative.dev/v1","kind":"PingSource","name":"ping"}`))
		return
	}
	if ref.Namespace != "" && ref.Namespace != namespace {
		r.add(field.Invalid(path.Child("namespace"), ref.Namespace, fmt.Sprintf("must be the Trigger's own, %q; remove it", namespace)))
	}
	for _, part := range []struct{ name, value string }{{"apiVersion", ref.APIVersion}, {"kind", ref.Kind}, {"name", ref.Name}} {
		if part.value == "" {
			r.add(field.Required(path.Child(part.name), "name the object that the Trigger waits for"))
		}
	}
}

// scope validates the annotation by which a channel has its own data plane.
func (r *Result) scope(meta *metav1.ObjectMeta) {
	if value, ok := meta.Annotations[eventing.ScopeAnnotationKey]; ok {
		r.oneOf(value, annotationsPath.Key(eventing.ScopeAnnotationKey), eventing.ScopeNamespace, eventing.ScopeCluster)
	}
}

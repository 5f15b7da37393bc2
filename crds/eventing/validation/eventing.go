package validation

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/config"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	eventingv1beta2 "ebb.dev/ebb/crds/eventing/v1beta2"
	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"
)

// EventType validates e, of version v1beta3. old is the EventType it replaces, nil for a new one.
func EventType(e, old *eventingv1beta3.EventType, cfg *config.Eventing) Result {
	var r Result
	path := specPath.Child("attributes")
	for _, name := range []string{"type", "source", "specversion", "id"} {
		if !slices.ContainsFunc(e.Spec.Attributes, func(a eventingv1beta3.EventAttributeDefinition) bool { return a.Name == name }) {
			r.add(field.Required(path, "add an entry for the attribute "+name+": every event has it"))
		}
	}
	for i, attribute := range e.Spec.Attributes {
		if !attributeName.MatchString(attribute.Name) {
			r.add(field.Invalid(path.Index(i).Child("name"), attribute.Name, attributeRule))
		}
	}
	if e.Spec.Reference != nil {
		r.reference(e.Spec.Reference, cfg, specPath.Child("reference"))
	}
	if old != nil {
		r.immutable(said(old.Spec), said(e.Spec), specPath, keepIt)
	}
	return r
}

// said is what users say of an EventType in version v1beta3.
func said(spec eventingv1beta3.EventTypeSpec) eventingv1beta3.EventTypeSpec {
	return eventingv1beta3.EventTypeSpec{Reference: spec.Reference, Description: spec.Description, Attributes: spec.Attributes}
}

// EventTypeV1Beta2 validates e, of version v1beta2. old is the EventType it replaces, nil for a new one.
func EventTypeV1Beta2(e, old *eventingv1beta2.EventType, cfg *config.Eventing) Result {
	var r Result
	if e.Spec.Type == "" {
		r.add(field.Required(specPath.Child("type"), "give the type of the events"))
	}
	if e.Spec.Reference != nil {
		r.reference(e.Spec.Reference, cfg, specPath.Child("reference"))
	}
	if old != nil {
		r.immutable(saidInV1Beta2(old.Spec), saidInV1Beta2(e.Spec), specPath, keepIt)
	}
	return r
}

func saidInV1Beta2(spec eventingv1beta3.EventTypeSpec) eventingv1beta3.EventTypeSpec {
	spec.Attributes = nil
	return spec
}

// EventPolicy validates p.
func EventPolicy(p, _ *eventingv1alpha1.EventPolicy, _ *config.Eventing) Result {
	var r Result
	for i, from := range p.Spec.From {
		path := specPath.Child("from").Index(i)
		sub := ptr.Deref(from.Sub, "")
		switch {
		case from.Ref == nil && sub == "":
			r.add(field.Required(path, "name a sender by ref, or an identity by sub"))
		case from.Ref != nil && from.Sub != nil:
			r.add(field.Forbidden(path, "must not have both ref and sub; write an entry for each"))
		}
		if from.Ref != nil {
			r.named(path.Child("ref"), from.Ref.APIVersion, from.Ref.Kind, from.Ref.Name)
		}
		if star := strings.IndexByte(sub, '*'); star >= 0 && star != len(sub)-1 {
			r.add(field.Invalid(path.Child("sub"), sub, "may have * at its end only"))
		}
	}
	for i, to := range p.Spec.To {
		path := specPath.Child("to").Index(i)
		switch {
		case to.Ref == nil && to.Selector == nil:
			r.add(field.Required(path, "name a target by ref, or several by selector; leave out to for all"))
		case to.Ref != nil && to.Selector != nil:
			r.add(field.Forbidden(path, "must not have both ref and selector; write an entry for each"))
		}
		if to.Ref != nil {
			r.named(path.Child("ref"), to.Ref.APIVersion, to.Ref.Kind, to.Ref.Name)
		}
		if to.Selector != nil {
			r.selector(&to.Selector.LabelSelector, path.Child("selector"))
		}
	}
	r.filters(p.Spec.Filters, specPath.Child("filters"))
	return r
}

// named refuses the name of an object that lacks a part.
func (r *Result) named(path *field.Path, apiVersion, kind, name string) {
	for _, part := range []struct{ name, value string }{{"apiVersion", apiVersion}, {"kind", kind}, {"name", name}} {
		if part.value == "" {
			r.add(field.Required(path.Child(part.name), "name the object by apiVersion, kind and name"))
		}
	}
}

// contextAttributes are those of every event, which cannot carry something else.
var contextAttributes = []string{"id", "source", "specversion", "type"}

// RequestReply validates q. old is the RequestReply it replaces, nil for a new one.
func RequestReply(q, old *eventingv1alpha1.RequestReply, cfg *config.Eventing) Result {
	var r Result
	path := specPath.Child("brokerRef")
	r.reference(&q.Spec.BrokerRef, cfg, path)
	if kind := q.Spec.BrokerRef.Kind; kind != "" && !strings.EqualFold(kind, "Broker") {
		r.add(field.NotSupported(path.Child("kind"), kind, []string{"Broker"}))
	}
	if q.Spec.BrokerRef.Namespace != "" {
		r.add(field.Forbidden(path.Child("namespace"), "must not be set: the Broker is in the same namespace; remove it"))
	}
	r.duration(ptr.Deref(q.Spec.Timeout, ""), true, specPath.Child("timeout"))
	for _, attribute := range []struct{ field, name string }{
		{"correlationAttribute", q.Spec.CorrelationAttribute}, {"replyAttribute", q.Spec.ReplyAttribute},
	} {
		path := specPath.Child(attribute.field)
		switch {
		case slices.Contains(contextAttributes, attribute.name):
			r.add(field.Invalid(path, attribute.name, "is an attribute of every event; name an extension such as \"correlationid\""))
		case !attributeName.MatchString(attribute.name):
			r.add(field.Invalid(path, attribute.name, attributeRule))
		}
	}
	if q.Spec.CorrelationAttribute == q.Spec.ReplyAttribute {
		r.add(field.Invalid(specPath.Child("replyAttribute"), q.Spec.ReplyAttribute, "must differ from correlationAttribute"))
	}
	r.delivery(q.Spec.Delivery, cfg, specPath.Child("delivery"))
	if old != nil {
		r.immutable(old.Spec.BrokerRef, q.Spec.BrokerRef, path, keepIt)
	}
	return r
}

// KafkaSink validates s. old is the KafkaSink it replaces, nil for a new one.
func KafkaSink(s, old *eventingv1alpha1.KafkaSink, _ *config.Eventing) Result {
	var r Result
	spec := &s.Spec
	if spec.Topic == "" {
		r.add(field.Required(specPath.Child("topic"), "name a topic"))
	}
	r.bootstrapServers(spec.BootstrapServers)
	r.oneOf(ptr.Deref(spec.ContentMode, ""), specPath.Child("contentMode"), eventingv1alpha1.ModeStructured, eventingv1alpha1.ModeBinary)
	if spec.NumPartitions != nil && *spec.NumPartitions <= 0 {
		r.add(field.Invalid(specPath.Child("numPartitions"), *spec.NumPartitions, "must be at least 1; leave it out for a topic that exists"))
	}
	if spec.ReplicationFactor != nil && *spec.ReplicationFactor <= 0 {
		r.add(field.Invalid(specPath.Child("replicationFactor"), *spec.ReplicationFactor, "must be at least 1; leave it out for a topic that exists"))
	}
	if a := spec.Auth; a != nil && a.Secret != nil && a.Secret.Ref != nil && a.Secret.Ref.Name == "" {
		r.add(field.Required(specPath.Child("auth", "secret", "ref", "name"), "name a Secret of the same namespace"))
	}
	if old != nil {
		r.immutable(old.Spec.Topic, spec.Topic, specPath.Child("topic"), keepIt)
		r.immutable(old.Spec.NumPartitions, spec.NumPartitions, specPath.Child("numPartitions"), keepIt)
		r.immutable(old.Spec.ReplicationFactor, spec.ReplicationFactor, specPath.Child("replicationFactor"), keepIt)
	}
	return r
}

func (r *Result) bootstrapServers(servers []string) {
	path := specPath.Child("bootstrapServers")
	if len(servers) == 0 {
		r.add(field.Required(path, "name at least one server as host:port"))
	}
	for i, server := range servers {
		if strings.TrimSpace(server) == "" {
			r.add(field.Required(path.Index(i), "name the server as host:port"))
		}
	}
}

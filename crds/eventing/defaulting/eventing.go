package defaulting

import (
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/eventing"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	eventingv1beta2 "ebb.dev/ebb/crds/eventing/v1beta2"
	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"

	"ebb.dev/ebb/crds/duck"
)

// EventType completes e, of version v1beta3: its attributes count, and what version v1beta2 says follows them.
func EventType(e, _ *eventingv1beta3.EventType, _ Input) {
	spec := &e.Spec
	reference(spec, e.Namespace)
	if spec.Attributes == nil {
		return
	}
	spec.Type, spec.Source, spec.Schema = "", nil, nil
	for _, attribute := range spec.Attributes {
		switch attribute.Name {
		case "type":
			spec.Type = attribute.Value
		case "source":
			spec.Source = notEmpty(attribute.Value)
		case "dataschema", "schemadata":
			spec.Schema = notEmpty(attribute.Value)
		}
	}
}

// EventTypeV1Beta2 completes e, of version v1beta2: its type, source and schema count, and the attributes follow them. Attributes that
// version v1beta2 cannot say stay as they were.
func EventTypeV1Beta2(e, old *eventingv1beta2.EventType, _ Input) {
	spec := &e.Spec
	if spec.Reference == nil && spec.Broker != "" {
		spec.Reference = &duck.KReference{APIVersion: eventing.GroupName + "/v1", Kind: "Broker", Name: spec.Broker}
	}
	reference(spec, e.Namespace)
	kept := spec.Attributes
	if kept == nil && old != nil {
		kept = old.Spec.Attributes
	}
	attributes := []eventingv1beta3.EventAttributeDefinition{
		{Name: "specversion", Required: true},
		{Name: "id", Required: true},
		{Name: "type", Required: true, Value: spec.Type},
		{Name: "source", Required: true, Value: ptr.Deref(spec.Source, "")},
	}
	if spec.Schema != nil {
		attributes = append(attributes, eventingv1beta3.EventAttributeDefinition{Name: "dataschema", Value: *spec.Schema})
	}
	said := map[string]bool{"specversion": true, "id": true, "type": true, "source": true, "dataschema": true, "schemadata": true}
	for _, attribute := range kept {
		if !said[attribute.Name] {
			attributes = append(attributes, attribute)
		}
	}
	spec.Attributes = attributes
}

func reference(spec *eventingv1beta3.EventTypeSpec, namespace string) {
	if spec.Reference != nil && spec.Reference.Namespace == "" {
		spec.Reference.Namespace = namespace
	}
}

func notEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// EventPolicy completes p.
func EventPolicy(p, _ *eventingv1alpha1.EventPolicy, _ Input) {
	for i := range p.Spec.From {
		if ref := p.Spec.From[i].Ref; ref != nil && ref.Namespace == "" {
			ref.Namespace = p.Namespace
		}
	}
}

// RequestReply completes r.
func RequestReply(r, _ *eventingv1alpha1.RequestReply, in Input) {
	if ptr.Deref(r.Spec.Timeout, "") == "" {
		r.Spec.Timeout = ptr.To(in.Config.Features.RequestReplyTimeout)
	}
	if r.Spec.CorrelationAttribute == "" {
		r.Spec.CorrelationAttribute = "correlationid"
	}
	if r.Spec.ReplyAttribute == "" {
		r.Spec.ReplyAttribute = "replyid"
	}
	delivery(r.Spec.Delivery, r.Namespace)
}

// KafkaSink completes s.
func KafkaSink(s, _ *eventingv1alpha1.KafkaSink, _ Input) {
	if ptr.Deref(s.Spec.ContentMode, "") == "" {
		s.Spec.ContentMode = ptr.To(eventingv1alpha1.ModeBinary)
	}
}

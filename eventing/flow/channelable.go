package flow

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
)

// The kinds this package knows by name.
var (
	inMemoryChannelKind = messagingv1.SchemeGroupVersion.WithKind("InMemoryChannel")
	natsChannelKind     = messagingv1alpha1.SchemeGroupVersion.WithKind("NatsJetStreamChannel")
	kafkaChannelKind    = messagingv1beta1.SchemeGroupVersion.WithKind("KafkaChannel")
	channelKind         = messagingv1.SchemeGroupVersion.WithKind("Channel")
	subscriptionKind    = messagingv1.SchemeGroupVersion.WithKind("Subscription")
	sequenceKind        = flowsv1.SchemeGroupVersion.WithKind("Sequence")
	parallelKind        = flowsv1.SchemeGroupVersion.WithKind("Parallel")
)

// Channelable is what channels of all kinds have in common.
type Channelable struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec   duck.ChannelableSpec   `json:"spec"`
	Status duck.ChannelableStatus `json:"status"`

	// Consumers is what its kind says of those who read it besides spec.delivery.
	Consumers Consumers `json:"-"`
}

// Reference names the channel.
func (c *Channelable) Reference() duck.KReference {
	return duck.KReference{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: c.Namespace, Name: c.Name}
}

// Ready is the condition of that name, or nil while the latest spec is not in effect.
func (c *Channelable) Ready() *conditions.Condition {
	return readyOf(&c.Status.Status, c.Generation)
}

func readyOf(s *conditions.Status, generation int64) *conditions.Condition {
	if s.ObservedGeneration != generation {
		return nil
	}
	return s.GetCondition(conditions.Ready)
}

func channelableOf(c *messagingv1.InMemoryChannel) *Channelable {
	return &Channelable{TypeMeta: typeOf(inMemoryChannelKind), ObjectMeta: c.ObjectMeta, Spec: c.Spec.ChannelableSpec, Status: c.Status.ChannelableStatus}
}

func channelableOfNATS(c *messagingv1alpha1.NatsJetStreamChannel) *Channelable {
	return &Channelable{
		TypeMeta: typeOf(natsChannelKind), ObjectMeta: c.ObjectMeta, Spec: c.Spec.ChannelableSpec, Status: c.Status.ChannelableStatus, Consumers: ConsumersOf(c),
	}
}

func channelableOfKafka(c *messagingv1beta1.KafkaChannel) *Channelable {
	return &Channelable{TypeMeta: typeOf(kafkaChannelKind), ObjectMeta: c.ObjectMeta, Spec: c.Spec.ChannelableSpec, Status: c.Status.ChannelableStatus}
}

func channelableOfChannel(c *messagingv1.Channel) *Channelable {
	return &Channelable{TypeMeta: typeOf(channelKind), ObjectMeta: c.ObjectMeta, Spec: c.Spec.ChannelableSpec, Status: c.Status.ChannelableStatus}
}

func typeOf(kind schema.GroupVersionKind) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: kind.GroupVersion().String(), Kind: kind.Kind}
}

// templateOf is the kind of channel a template asks for; without a template it is the default one.
func templateOf(template *duck.ChannelTemplateSpec) (schema.GroupVersionKind, error) {
	if template == nil || template.Kind == "" {
		return inMemoryChannelKind, nil
	}
	gv, err := schema.ParseGroupVersion(template.APIVersion)
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("spec.channelTemplate.apiVersion: %w", err)
	}
	return gv.WithKind(template.Kind), nil
}

// channelFrom makes a channel of a template. A delivery that is given wins over the template's.
func channelFrom(
	template *duck.ChannelTemplateSpec, namespace, name string, owner *metav1.OwnerReference, delivery *duck.DeliverySpec,
) (*unstructured.Unstructured, error) {
	kind, err := templateOf(template)
	if err != nil {
		return nil, err
	}
	spec := map[string]any{}
	if template != nil && template.Spec != nil && len(template.Spec.Raw) > 0 {
		if err := json.Unmarshal(template.Spec.Raw, &spec); err != nil {
			return nil, fmt.Errorf("spec.channelTemplate.spec is no object: %w", err)
		}
	}
	if delivery != nil {
		data, err := json.Marshal(delivery)
		if err != nil {
			return nil, fmt.Errorf("spec.delivery: %w", err)
		}
		var plain map[string]any
		if err := json.Unmarshal(data, &plain); err != nil {
			return nil, fmt.Errorf("spec.delivery: %w", err)
		}
		spec["delivery"] = plain
	}
	out := &unstructured.Unstructured{Object: map[string]any{}}
	if len(spec) > 0 {
		out.Object["spec"] = spec
	}
	out.SetGroupVersionKind(kind)
	out.SetNamespace(namespace)
	out.SetName(name)
	out.SetOwnerReferences([]metav1.OwnerReference{*owner})
	return out, nil
}

// BackingOf is the channel that backs a Channel: one of its template, under its name.
func BackingOf(c *messagingv1.Channel) (*unstructured.Unstructured, error) {
	return channelFrom(c.Spec.ChannelTemplate, c.Namespace, c.Name, metav1.NewControllerRef(c, channelKind), c.Spec.Delivery)
}

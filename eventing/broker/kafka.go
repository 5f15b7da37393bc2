package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log/placed"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// KafkaClasses are those whose Brokers keep their events in Kafka.
var KafkaClasses = []string{eventing.KafkaBrokerClass, eventing.KafkaNamespacedBrokerClass}

// InKafka reports whether a Broker keeps its events in Kafka.
func InKafka(b *eventingv1.Broker) bool {
	return slices.Contains(KafkaClasses, b.Annotations[eventing.BrokerClassAnnotationKey])
}

// The conditions of a Broker of class Kafka, as Knative's has them.
const (
	KafkaConditionDataPlaneAvailable conditions.Type = "DataPlaneAvailable"
	KafkaConditionTopicReady         conditions.Type = "TopicReady"
	KafkaConditionConfigMapUpdated   conditions.Type = "ConfigMapUpdated"
	KafkaConditionConfigParsed       conditions.Type = "ConfigParsed"
	KafkaConditionProbeSucceeded     conditions.Type = "ProbeSucceeded"
)

var kafkaConditions = conditions.Living(
	eventingv1.BrokerConditionAddressable, KafkaConditionDataPlaneAvailable, KafkaConditionTopicReady, KafkaConditionConfigMapUpdated,
	KafkaConditionConfigParsed, KafkaConditionProbeSucceeded, eventingv1.BrokerConditionEventPoliciesReady,
)

// Annotations of the status of a Broker of class Kafka.
const (
	topicAnnotation           = "default.topic"
	secretNamespaceAnnotation = "auth.secret.ref.namespace"
)

// Placer says where streams are kept.
type Placer interface {
	Place(id model.StreamID, p placed.Place)
	// Partitions are the streams of a stream's partitions.
	Partitions(id model.StreamID) ([]model.StreamID, error)
}

// Settings reads what Brokers of class Kafka name.
type Settings interface {
	ConfigMap(ctx context.Context, name types.NamespacedName) (*settings.Settings, error)
}

// ConfigOf is the ConfigMap of a Broker of class Kafka.
func ConfigOf(b *eventingv1.Broker) types.NamespacedName {
	c := b.Spec.Config
	if c == nil || c.Name == "" {
		return types.NamespacedName{Namespace: eventing.SystemNamespace, Name: config.KafkaBrokerName}
	}
	namespace := c.Namespace
	if namespace == "" {
		namespace = b.Namespace
	}
	return types.NamespacedName{Namespace: namespace, Name: c.Name}
}

// TopicOf is the topic of a Broker of class Kafka: that of its annotation, which is somebody else's, or the one that it has had, or its own.
func TopicOf(b *eventingv1.Broker, s *settings.Settings) topic.Topic {
	if name := b.Annotations[eventing.KafkaExternalTopicAnnotationKey]; name != "" {
		return topic.Topic{Name: name, External: true}
	}
	name := b.Status.Annotations[topicAnnotation]
	if name == "" {
		name = "knative-broker-" + b.Namespace + "-" + b.Name
	}
	return topic.Topic{Name: name, Partitions: s.Partitions, Replication: s.Replication, Config: s.Config}
}

// GroupOf is the consumer group that shows where a reader is; "" for one that has none. Its name is the one that it would have with Knative.
func GroupOf(r model.Reader) string {
	if r.Kind == model.Trigger {
		return "knative-trigger-" + r.Key.Namespace + "-" + r.Key.Name
	}
	return ""
}

// KafkaInput is what the decision about a Broker of class Kafka is made of.
type KafkaInput struct {
	BrokerInput
	// Settings are nil where Config says why there are none.
	Settings *settings.Settings
	Config   error
	Topic    topic.Topic
	// Partitions is how many the topic has.
	Partitions int
}

// DecideKafkaBroker returns the status of a Broker of class Kafka.
func DecideKafkaBroker(in KafkaInput) eventingv1.BrokerStatus {
	b := in.Broker
	out := *b.Status.DeepCopy()
	marks := kafkaConditions.Manage(&out.Status, metav1.NewTime(in.Now))
	begin(&out.Status, marks, b.Generation)
	marks.MarkTrue(KafkaConditionDataPlaneAvailable)
	marks.MarkTrue(KafkaConditionConfigMapUpdated)
	in.DeadLetter.StateDeadLetters(marks, eventingv1.BrokerConditionDeadLetterSinkResolved, &out.DeliveryStatus)
	switch {
	case in.Config != nil:
		reason := "ConfigNotRead"
		if wrong := (*settings.Wrong)(nil); errors.As(in.Config, &wrong) {
			reason = wrong.Reason
		}
		marks.MarkFalse(KafkaConditionConfigParsed, reason, in.Config.Error())
		marks.MarkUnknown(KafkaConditionTopicReady, "ConfigNotParsed", "which Kafka is meant is not known")
	case in.DeadLetter.Err != nil:
		reason, message := in.DeadLetter.Explain("dead letter sink")
		marks.MarkFalse(KafkaConditionConfigParsed, reason, message)
	default:
		marks.MarkTrue(KafkaConditionConfigParsed)
	}
	switch {
	case in.Config != nil:
	case in.Stored != nil:
		reason, message := in.Settings.Explain(in.Stored)
		marks.MarkFalse(KafkaConditionTopicReady, reason, message)
	default:
		marks.MarkTrueWithReason(KafkaConditionTopicReady, fmt.Sprintf("Topic %s created", in.Topic.Name), "")
		out.Annotations = kafkaAnnotations(out.Annotations, in)
	}
	if in.Reached {
		marks.MarkTrue(KafkaConditionProbeSucceeded)
	} else {
		marks.MarkUnknown(KafkaConditionProbeSucceeded, "RouteNotReady", in.Why)
	}
	out.AddressStatus = addressOf(b, in.ClusterDomain)
	marks.MarkTrue(eventingv1.BrokerConditionAddressable)
	in.Applied.State(marks, eventingv1.BrokerConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &out.AddressStatus)
	out.Status.KeepTransitionTimes(&b.Status.Status)
	return out
}

// kafkaAnnotations say in the status where the events are, as Knative's do. Triggers are told by them of partitions that joined.
func kafkaAnnotations(have map[string]string, in KafkaInput) map[string]string {
	if have == nil {
		have = map[string]string{}
	}
	have[topicAnnotation] = in.Topic.Name
	have[settings.ServersKey] = strings.Join(in.Settings.Cluster.Servers, ",")
	have[settings.PartitionsKey] = strconv.Itoa(in.Partitions)
	have[settings.ReplicationKey] = strconv.Itoa(int(in.Settings.Replication))
	if s := in.Settings.Secret; s.Name != "" {
		have[settings.SecretKey], have[secretNamespaceAnnotation] = s.Name, s.Namespace
	} else {
		delete(have, settings.SecretKey)
		delete(have, secretNamespaceAnnotation)
	}
	return have
}

func addressOf(b *eventingv1.Broker, clusterDomain string) duck.AddressStatus {
	return duck.AddressStatus{Address: exposure.Brokers.Address(clusterDomain, b)}
}

// lookAtKafka is how soon a Broker of class Kafka that is well is looked at again: its Secret may have changed, or its topic have more partitions.
const lookAtKafka = time.Minute

// kafkaBroker reconciles a Broker of class Kafka.
func (r *Reconciler) kafkaBroker(ctx context.Context, b *eventingv1.Broker, letters destination.Found, applied policy.Applied) (ctrl.Result, error) {
	stream := StreamOf(b)
	in := KafkaInput{BrokerInput: BrokerInput{Broker: b, DeadLetter: letters, Applied: applied, ClusterDomain: r.ClusterDomain, Now: r.Clock.Now()}}
	in.Reached, in.Why = r.Exposer.Ingress(ctx)
	if in.Settings, in.Config = r.Kafka.ConfigMap(ctx, ConfigOf(b)); in.Config == nil {
		in.Topic = TopicOf(b, in.Settings)
		r.Placer.Place(stream.ID, placed.Place{Cluster: in.Settings.Cluster, Topic: in.Topic})
		if in.Stored = r.Handed.EnsureStream(ctx, stream); in.Stored == nil {
			var partitions []model.StreamID
			partitions, in.Stored = r.Placer.Partitions(stream.ID)
			in.Partitions = len(partitions)
		}
	}
	if err := status.Save(ctx, r.Client, b, &b.Status, DecideKafkaBroker(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Config != nil || in.Stored != nil || !in.Reached || letters.Err != nil {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{RequeueAfter: lookAtKafka}, nil
}

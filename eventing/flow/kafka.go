package flow

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/model"
)

// KafkaConfig is the ConfigMap that says which Kafka KafkaChannels are kept in.
var KafkaConfig = types.NamespacedName{Namespace: eventing.SystemNamespace, Name: "kafka-channel-config"}

// KafkaStreamOf is a KafkaChannel's stream.
func KafkaStreamOf(c *messagingv1beta1.KafkaChannel, clusterDomain string) model.Stream {
	return channelStream(c, clusterDomain)
}

// KafkaExposureOf is what makes Envoy lead from a KafkaChannel's names to the ingress.
func KafkaExposureOf(c *messagingv1beta1.KafkaChannel, gateway, clusterDomain string) (*corev1.Service, *networking.Ingress) {
	return channelExposure(c, *metav1.NewControllerRef(c, kafkaChannelKind), gateway, clusterDomain)
}

// TopicOf is a KafkaChannel's topic, under the name that it would have with Knative.
func TopicOf(c *messagingv1beta1.KafkaChannel, s *settings.Settings) (topic.Topic, error) {
	kept, err := duck.ParseDuration(c.Spec.RetentionDuration)
	if err != nil {
		return topic.Topic{}, &settings.Wrong{Reason: "RetentionInvalid", Message: fmt.Sprintf("spec.retentionDuration: %v", err)}
	}
	t := topic.Topic{
		Name:       "knative-messaging-kafka." + c.Namespace + "." + c.Name,
		Partitions: c.Spec.NumPartitions, Replication: c.Spec.ReplicationFactor, Config: map[string]string{},
	}
	for key, value := range s.Config {
		t.Config[key] = value
	}
	t.Config["retention.ms"] = strconv.FormatInt(kept.Milliseconds(), 10)
	return t, nil
}

// GroupOf is the consumer group that shows where the reader of a Subscription of a KafkaChannel is, under the name that it would have with Knative.
func GroupOf(channel model.Stream, r model.Reader) string {
	if r.Kind != model.Subscription {
		return ""
	}
	return "kafka." + channel.Key.Namespace + "." + channel.Key.Name + "." + strings.TrimPrefix(string(r.ID), readerPrefix)
}

// KafkaChannelInput is what the decision about a KafkaChannel is made of.
type KafkaChannelInput struct {
	ChannelState
	Channel *messagingv1beta1.KafkaChannel
	// Settings are nil where Config says why there are none, or what is wrong with the topic that they make.
	Settings *settings.Settings
	Config   error
	Topic    topic.Topic
}

// DecideKafkaChannel returns a KafkaChannel's status.
func DecideKafkaChannel(in KafkaChannelInput) messagingv1beta1.KafkaChannelStatus {
	c := in.Channel
	out := *c.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = c.Generation
	marks.Initialize()
	switch {
	case in.Config != nil:
		reason := "ConfigNotRead"
		if wrong := (*settings.Wrong)(nil); errors.As(in.Config, &wrong) {
			reason = wrong.Reason
		}
		marks.MarkFalse(messagingv1beta1.KafkaChannelConditionConfigReady, reason, in.Config.Error())
		marks.MarkUnknown(messagingv1beta1.KafkaChannelConditionTopicReady, "ConfigNotReady", "which Kafka is meant is not known")
	case in.Stored != nil:
		reason, message := in.Settings.Explain(in.Stored)
		marks.MarkTrue(messagingv1beta1.KafkaChannelConditionConfigReady)
		marks.MarkFalse(messagingv1beta1.KafkaChannelConditionTopicReady, reason, message)
	default:
		marks.MarkTrue(messagingv1beta1.KafkaChannelConditionConfigReady)
		marks.MarkTrueWithReason(messagingv1beta1.KafkaChannelConditionTopicReady, fmt.Sprintf("Topic %s created", in.Topic.Name), "")
	}
	out.Address, out.Addresses = nil, nil
	if in.Exposed != nil {
		marks.MarkFalse(messagingv1beta1.KafkaChannelConditionAddressable, "emptyHostname", "the channel has no Service")
	} else {
		host := HostOf(types.NamespacedName{Namespace: c.Namespace, Name: c.Name})
		out.Address = &duck.Addressable{Name: ptr.To("http"), URL: "http://" + exposure.Hosts(host, in.ClusterDomain)[0]}
		marks.MarkTrue(messagingv1beta1.KafkaChannelConditionAddressable)
	}
	switch {
	case in.Exposed != nil:
		marks.MarkFalse(messagingv1beta1.KafkaChannelConditionChannelServiceReady, "ChannelServiceFailed", in.Exposed.Error())
	case !in.Reached:
		marks.MarkUnknown(messagingv1beta1.KafkaChannelConditionChannelServiceReady, "RouteNotReady", in.Why)
	default:
		marks.MarkTrue(messagingv1beta1.KafkaChannelConditionChannelServiceReady)
	}
	in.DeadLetter.StateDeadLetters(marks, messagingv1beta1.KafkaChannelConditionDeadLetterSinkResolved, &out.DeliveryStatus)
	in.Applied.State(marks, messagingv1beta1.KafkaChannelConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &out.AddressStatus)
	out.Subscribers = subscribers(in.Subscriptions)
	out.Status.KeepTransitionTimes(&c.Status.Status)
	return out
}

package flow

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/model"
)

// KafkaConfig is the ConfigMap that says which Kafka KafkaChannels are kept in.
var KafkaConfig = types.NamespacedName{Namespace: eventing.SystemNamespace, Name: "kafka-channel-config"}

// KafkaStreamOf is a KafkaChannel's stream.
func KafkaStreamOf(c *messagingv1beta1.KafkaChannel, clusterDomain string) model.Stream {
	return channelStream(kafkaChannelKind, c, clusterDomain)
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
	in.state(marks, hostOf(kafkaChannelKind, nameOf(c)), &out.ChannelableStatus)
	out.Status.KeepTransitionTimes(&c.Status.Status)
	return out
}

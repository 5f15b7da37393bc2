package broker

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/model"
)

func kafkaBroker(change func(*eventingv1.Broker)) *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "production-broker", UID: "b9", Generation: 2,
		Annotations: map[string]string{eventing.BrokerClassAnnotationKey: eventing.KafkaBrokerClass},
	}}
	b.Spec.Config = &duck.KReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: "knative-eventing", Name: "kafka-broker-config"}
	if change != nil {
		change(b)
	}
	return b
}

func kafkaSettings() *settings.Settings {
	return &settings.Settings{
		From:    types.NamespacedName{Namespace: "knative-eventing", Name: "kafka-broker-config"},
		Secret:  types.NamespacedName{Namespace: "knative-eventing", Name: "login"},
		Cluster: cluster.Cluster{Servers: []string{"a:9092", "b:9092"}}, Partitions: 10, Replication: 3, Config: map[string]string{"retention.ms": "1000"},
	}
}

func TestWhatABrokerOfClassKafkaSays(t *testing.T) {
	_, away := cluster.Cluster{Servers: []string{"127.0.0.1:1"}}.Connect(context.Background(), "test")
	for _, tt := range []struct {
		name   string
		in     KafkaInput
		ready  corev1.ConditionStatus
		about  conditions.Type
		reason string
		words  string
	}{
		{"all is well", KafkaInput{BrokerInput: BrokerInput{Reached: true}}, "True", KafkaConditionTopicReady, "Topic knative-broker-shop-production-broker created", ""},
		{
			"the ConfigMap is missing", KafkaInput{BrokerInput: BrokerInput{Reached: true}, Config: &settings.Wrong{Reason: "ConfigMapNotFound", Message: "ConfigMap a/b does not exist"}},
			"False", KafkaConditionConfigParsed, "ConfigMapNotFound", "a/b does not exist",
		},
		{
			"Kafka is away", KafkaInput{BrokerInput: BrokerInput{Reached: true, Stored: away}},
			"False", KafkaConditionTopicReady, "NotReachable", "ConfigMap knative-eventing/kafka-broker-config: bootstrap.servers: Kafka at 127.0.0.1:1",
		},
		{
			"Kafka refuses", KafkaInput{BrokerInput: BrokerInput{Reached: true, Stored: errors.New("replication factor: 3 larger than available brokers: 1")}},
			"False", KafkaConditionTopicReady, "TopicNotReady", "larger than available brokers",
		},
		{"no gateway leads here", KafkaInput{BrokerInput: BrokerInput{Why: "no gateway is connected yet"}}, "Unknown", KafkaConditionProbeSucceeded, "RouteNotReady", "no gateway"},
		{
			"the dead letter sink is missing", KafkaInput{BrokerInput: BrokerInput{Reached: true, DeadLetter: destination.Found{Err: errors.New("Service shop/graves does not exist")}}},
			"False", KafkaConditionConfigParsed, "ResolveFailed", "graves does not exist",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := tt.in
			in.Broker, in.ClusterDomain, in.Now = kafkaBroker(nil), "cluster.local", now
			if in.Config == nil {
				in.Settings, in.Partitions = kafkaSettings(), 10
				in.Topic = TopicOf(in.Broker, in.Settings)
			}
			s := DecideKafkaBroker(in)
			if got := s.GetCondition(conditions.Ready); got == nil || got.Status != tt.ready {
				t.Errorf("Ready is %+v", got)
			}
			if got := s.GetCondition(tt.about); got == nil || got.Reason != tt.reason || !strings.Contains(got.Message, tt.words) {
				t.Errorf("%s is %+v", tt.about, got)
			}
			if s.Address == nil || s.Address.URL != "http://broker-ingress.knative-eventing.svc.cluster.local/shop/production-broker" {
				t.Errorf("address %+v", s.Address)
			}
			if tt.ready == "True" {
				for key, want := range map[string]string{
					"default.topic": "knative-broker-shop-production-broker", "bootstrap.servers": "a:9092,b:9092", "default.topic.partitions": "10",
					"default.topic.replication.factor": "3", "auth.secret.ref.name": "login", "auth.secret.ref.namespace": "knative-eventing",
				} {
					if s.Annotations[key] != want {
						t.Errorf("annotation %s: %q", key, s.Annotations[key])
					}
				}
			}
		})
	}
}

func TestABrokersTopicIsTheOneItHas(t *testing.T) {
	s := kafkaSettings()
	if got := TopicOf(kafkaBroker(nil), s); got.Name != "knative-broker-shop-production-broker" || got.External || got.Partitions != 10 || got.Replication != 3 {
		t.Errorf("%+v", got)
	}
	had := kafkaBroker(func(b *eventingv1.Broker) { b.Status.Annotations = map[string]string{"default.topic": "older-name"} })
	if got := TopicOf(had, s); got.Name != "older-name" {
		t.Errorf("%+v", got)
	}
	theirs := kafkaBroker(func(b *eventingv1.Broker) { b.Annotations[eventing.KafkaExternalTopicAnnotationKey] = "theirs" })
	if got := TopicOf(theirs, s); got.Name != "theirs" || !got.External || got.Partitions != 0 {
		t.Errorf("%+v", got)
	}
}

func TestABrokersConfigMapIsTheOneItNames(t *testing.T) {
	for want, change := range map[string]func(*eventingv1.Broker){
		"knative-eventing/kafka-broker-config": func(b *eventingv1.Broker) { b.Spec.Config = nil },
		"shop/mine":                            func(b *eventingv1.Broker) { b.Spec.Config = &duck.KReference{Kind: "ConfigMap", Name: "mine"} },
		"other/mine": func(b *eventingv1.Broker) {
			b.Spec.Config = &duck.KReference{Kind: "ConfigMap", Name: "mine", Namespace: "other"}
		},
	} {
		if got := ConfigOf(kafkaBroker(change)).String(); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
}

func TestTriggersAreShownInTheGroupsKnativeShowsThemIn(t *testing.T) {
	key := model.Key{Namespace: "shop", Name: "reliable-trigger"}
	if got := GroupOf(model.Reader{Kind: model.Trigger, Key: key}); got != "knative-trigger-shop-reliable-trigger" {
		t.Error(got)
	}
	if got := GroupOf(model.Reader{Kind: model.Subscription, Key: key}); got != "" {
		t.Error(got)
	}
}

func TestATriggerThatCannotBeReadForSaysWhy(t *testing.T) {
	trigger := theTrigger(nil)
	d := DecideTrigger(TriggerInput{Trigger: trigger, Broker: theBroker(nil), Subscriber: display, Now: now})
	d.NotReading(trigger, errors.New("Kafka is away"), now)
	if c := d.Status.GetCondition(eventingv1.TriggerConditionSubscribed); !c.IsFalse() || c.Message != "Kafka is away" {
		t.Errorf("%+v", c)
	}
	if !d.Status.GetCondition(conditions.Ready).IsFalse() {
		t.Error("it is ready")
	}
}

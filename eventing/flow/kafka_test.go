package flow

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/log/placed"
	"ebb.dev/ebb/eventing/model"
)

// fakeKafka is settings as they are given, and a memory of what was placed.
type fakeKafka struct {
	settings *settings.Settings
	wrong    error
	places   map[model.StreamID]placed.Place
}

func (f *fakeKafka) ConfigMap(context.Context, types.NamespacedName) (*settings.Settings, error) {
	return f.settings, f.wrong
}

func (f *fakeKafka) Place(id model.StreamID, p placed.Place) { f.places[id] = p }

func (f *fakeKafka) Partitions(model.StreamID) ([]model.StreamID, error) { return nil, nil }

func theSettings() *settings.Settings {
	return &settings.Settings{From: KafkaConfig, Cluster: cluster.Cluster{Servers: []string{"a:9092"}}, Config: map[string]string{"min.insync.replicas": "2"}}
}

func theKafkaChannel() *messagingv1beta1.KafkaChannel {
	return &messagingv1beta1.KafkaChannel{ObjectMeta: named("letters"), Spec: messagingv1beta1.KafkaChannelSpec{NumPartitions: 4, ReplicationFactor: 2, RetentionDuration: "PT1H"}}
}

// withKafka has the room serve KafkaChannels.
func (r *room) withKafka(f *fakeKafka) *room {
	f.places = map[model.StreamID]placed.Place{}
	r.Kafka = &Kafka{Handed: handed.New(r), Settings: f, Placer: f}
	r.Resolver.Mapper.(*meta.DefaultRESTMapper).Add(kafkaChannelKind, meta.RESTScopeNamespace)
	return r
}

func TestAKafkaChannelsTopicIsWhatItSays(t *testing.T) {
	got, err := TopicOf(theKafkaChannel(), theSettings())
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "knative-messaging-kafka.shop.letters" || got.Partitions != 4 || got.Replication != 2 || got.External ||
		got.Config["retention.ms"] != "3600000" || got.Config["min.insync.replicas"] != "2" {
		t.Errorf("%+v", got)
	}
	c := theKafkaChannel()
	c.Spec.RetentionDuration = "soon"
	var wrong *settings.Wrong
	if _, err := TopicOf(c, theSettings()); !errors.As(err, &wrong) {
		t.Error(err)
	}
}

func TestASubscriptionReadsAKafkaChannel(t *testing.T) {
	subscription := &messagingv1.Subscription{ObjectMeta: named("show")}
	subscription.Spec.Channel = duck.KReference{APIVersion: "messaging.knative.dev/v1beta1", Kind: "KafkaChannel", Name: "letters"}
	subscription.Spec.Subscriber = to("display")
	kafka := &fakeKafka{settings: theSettings()}
	r := newRoom(t, theKafkaChannel(), subscription, &corev1.Service{ObjectMeta: named("display")}).withKafka(kafka)
	name := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "letters"}}
	if _, err := r.KafkaChannel(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := r.KafkaChannel(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	r.settle()
	var c messagingv1beta1.KafkaChannel
	r.get("letters", &c)
	says(t, &c.Status.Status, conditions.Ready, "True", "")
	says(t, &c.Status.Status, messagingv1beta1.KafkaChannelConditionTopicReady, "True", "Topic knative-messaging-kafka.shop.letters created")
	if c.Status.Address == nil || c.Status.Address.URL != "http://letters-kn-channel.shop.svc.cluster.local" {
		t.Errorf("%+v", c.Status.Address)
	}
	stream := r.streams["channel.uid-letters"]
	if stream.Key != (model.Key{Namespace: "shop", Name: "letters"}) || kafka.places[stream.ID].Topic.Partitions != 4 {
		t.Errorf("%+v placed in %+v", stream, kafka.places)
	}
	reader := r.readers["subscription.uid-show"]
	if reader.Stream != stream.ID || GroupOf(stream, reader) != "kafka.shop.letters.uid-show" {
		t.Errorf("%+v in group %s", reader, GroupOf(stream, reader))
	}
	if err := r.Client.Delete(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	if _, err := r.KafkaChannel(t.Context(), name); err != nil || len(r.streams) != 0 {
		t.Errorf("its stream is there still: %v, %v", r.streams, err)
	}
}

func TestAKafkaChannelSaysWhatIsWrong(t *testing.T) {
	_, away := cluster.Cluster{Servers: []string{"127.0.0.1:1"}}.Connect(context.Background(), "test")
	for name, c := range map[string]struct {
		in    KafkaChannelInput
		about conditions.Type
		words string
	}{
		"no ConfigMap": {KafkaChannelInput{Config: &settings.Wrong{Reason: "ConfigMapNotFound", Message: "ConfigMap a/b does not exist"}},
			messagingv1beta1.KafkaChannelConditionConfigReady, "ConfigMapNotFound ConfigMap a/b does not exist"},
		"Kafka is away": {KafkaChannelInput{Settings: theSettings(), ChannelState: ChannelState{Stored: away}},
			messagingv1beta1.KafkaChannelConditionTopicReady, "NotReachable ConfigMap knative-eventing/kafka-channel-config: bootstrap.servers: Kafka at 127.0.0.1:1"},
		"no Service": {KafkaChannelInput{Settings: theSettings(), ChannelState: ChannelState{Exposed: errors.New("is there and not Ebb's")}},
			messagingv1beta1.KafkaChannelConditionChannelServiceReady, "not Ebb's"},
	} {
		t.Run(name, func(t *testing.T) {
			in := c.in
			in.Channel, in.Reached, in.ClusterDomain, in.Now = theKafkaChannel(), true, "cluster.local", now
			s := DecideKafkaChannel(in)
			says(t, &s.Status, c.about, "False", c.words)
			says(t, &s.Status, conditions.Ready, "False", "")
		})
	}
}

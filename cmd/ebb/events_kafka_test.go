package main

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/cmd/ebb/broker"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/kafka"
)

// kafkaTopic is the topic of the Broker default in the namespace default.
const kafkaTopic = "knative-broker-default-default"

// inKafka makes that Broker one of class Kafka, of three partitions, with a Trigger, on a Kafka that the test ends.
func (s *steered) inKafka(subscriber string) *kadm.Client {
	s.t.Helper()
	k := kafka.Start(s.t, kafka.Options{})
	config := metav1.ObjectMeta{Namespace: eventing.SystemNamespace, Name: "kafka-broker-config"}
	meta := metav1.ObjectMeta{Namespace: "default", Name: "default", Annotations: map[string]string{eventing.BrokerClassAnnotationKey: eventing.KafkaBrokerClass}}
	for _, o := range []client.Object{
		&corev1.ConfigMap{ObjectMeta: config, Data: map[string]string{
			"bootstrap.servers": k.Address, "default.topic.partitions": "3", "default.topic.replication.factor": "1",
		}},
		&eventingv1.Broker{ObjectMeta: meta, Spec: eventingv1.BrokerSpec{Config: &duck.KReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: config.Namespace, Name: config.Name}}},
		&eventingv1.Trigger{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shown"},
			Spec:       eventingv1.TriggerSpec{Broker: "default", Subscriber: duck.Destination{URI: &subscriber}},
		},
	} {
		if err := s.api.Create(s.t.Context(), o); err != nil {
			s.t.Fatal(err)
		}
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(k.Address))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

func TestEventsOfAKafkaBrokerAreLookedAtAndSweptAfterIt(t *testing.T) {
	s := steer(t)
	subscriber := httptest.NewServer(s)
	defer subscriber.Close()
	admin := s.inKafka(subscriber.URL)
	s.start()
	apiserver.Eventually(t, "the Trigger reads three partitions", func(context.Context) bool {
		var triggers []broker.TriggerState
		s.must(&triggers, "triggers")
		return len(triggers) == 3
	})
	for n := range 12 {
		s.send(fmt.Sprintf("e%02d", n))
	}
	apiserver.Eventually(t, "all are delivered", func(context.Context) bool { return len(strings.Fields(s.received())) == 12 })

	var listed []broker.Stored
	s.must(&listed, "list", "default")
	partitions := map[int32]int{}
	for n, e := range listed {
		if e.ID != fmt.Sprintf("e%02d", n) || e.Partition == nil {
			t.Fatalf("%d is %+v", n, e)
		}
		partitions[*e.Partition]++
		var shown struct{ ID string }
		s.must(&shown, "show", "default", e.Place())
		if shown.ID != e.ID {
			t.Errorf("%s shows %s instead of %s", e.Place(), shown.ID, e.ID)
		}
	}
	if len(listed) != 12 || len(partitions) < 2 {
		t.Fatalf("%d events in %v", len(listed), partitions)
	}
	var one broker.Replay
	s.must(&one, "replay", "shown", "--from", listed[5].Place(), "--to", listed[5].Place())
	if one.Delivered != 1 || !strings.HasSuffix(s.received(), " e05") {
		t.Errorf("%+v, then %s", one, s.received())
	}
	var all []broker.Replay
	s.must(&all, "replay", "shown", "--from", "1h")
	delivered := uint64(0)
	for _, r := range all {
		delivered += r.Delivered
	}
	if len(all) != 3 || delivered != 12 {
		t.Errorf("%+v", all)
	}

	// What is deleted while no broker runs is swept by the next one, though nothing uses Kafka any more.
	s.stop()
	for _, o := range []client.Object{&eventingv1.Trigger{}, &eventingv1.Broker{}} {
		if err := s.api.DeleteAllOf(t.Context(), o, client.InNamespace("default")); err != nil {
			t.Fatal(err)
		}
	}
	const group = "knative-trigger-default-shown"
	if topics, groups := s.left(admin); !slices.Contains(topics, kafkaTopic) || !slices.Contains(groups, group) {
		t.Fatalf("too early: %v, %v", topics, groups)
	}
	s.start()
	apiserver.Eventually(t, "the topic and the consumer group are gone", func(context.Context) bool {
		topics, groups := s.left(admin)
		return !slices.Contains(topics, kafkaTopic) && !slices.Contains(groups, group)
	})
}

// left are the topics and consumer groups that there are.
func (s *steered) left(admin *kadm.Client) (topics, groups []string) {
	s.t.Helper()
	t, err := admin.ListTopics(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	g, err := admin.ListGroups(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return t.Names(), slices.Collect(maps.Keys(g))
}

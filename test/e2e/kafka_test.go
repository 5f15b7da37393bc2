package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/test/kafka"
)

// fetchKafka gets Kafka's jars while there is a network, and says why its tests will be skipped if they cannot be had.
func fetchKafka() {
	if _, err := kafka.Fetch(context.Background()); err != nil {
		fmt.Println("e2e: tests with Kafka will be skipped:", err)
	}
}

// kafka starts a Kafka and has Brokers and channels of that kind use it, with a number of partitions.
func (s *space) kafka(partitions int) (*kafka.Broker, *kgo.Client) {
	s.t.Helper()
	k := kafka.Start(s.t, kafka.Options{})
	s.t.Cleanup(func() {
		for _, name := range []string{"kafka-broker-config", "kafka-channel-config"} {
			s.kubectl("patch", "configmap", name, "-n", "knative-eventing", "--type", "merge", "--patch", `{"data":{"bootstrap.servers":null}}`)
		}
	})
	for _, name := range []string{"kafka-broker-config", "kafka-channel-config"} {
		s.inEventing(fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: knative-eventing}
data:
  bootstrap.servers: %s
  default.topic.partitions: "%d"
  default.topic.replication.factor: "1"
`, name, k.Address, partitions))
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Address))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	// While Kafka is there, so that topics go too.
	s.t.Cleanup(func() {
		s.try("delete", "trigger,subscription,kafkachannel,kafkasource,kafkasink,broker", "--all", "--timeout=30s")
	})
	return k, client
}

// inEventing applies a manifest of the namespace knative-eventing.
func (s *space) inEventing(manifest string) {
	s.t.Helper()
	other := *s
	other.name = "knative-eventing"
	other.apply(manifest)
}

// lag is how many events a consumer group has still to read.
func lag(t *testing.T, client *kgo.Client, group string) int64 {
	t.Helper()
	lags, err := kadm.NewClient(client).Lag(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	return lags[group].Lag.Total()
}

// processed are the ids of events that the guide's event-processor has printed.
func (s *space) processed() []string {
	out, err := s.try("logs", "-l", "serving.knative.dev/service=event-processor", "-c", "user-container", "--tail=-1")
	if err != nil {
		return nil
	}
	return idsIn(out)
}

func idsIn(log string) []string {
	var ids []string
	for line := range strings.Lines(log) {
		if id, found := strings.CutPrefix(strings.TrimSpace(line), "id: "); found {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestGuideProductionBrokerKeepsItsEventsInKafka applies the guide's manifest as it is: before there is a Kafka it says what is missing, then it
// becomes ready, its Trigger heals when the subscriber appears, and Kafka's tools show events and lag.
func TestGuideProductionBrokerKeepsItsEventsInKafka(t *testing.T) {
	s := shared.inDefault(t)
	manifest := guideFile(t, "21-production-broker.yaml")
	t.Cleanup(func() { s.try("delete", "trigger,broker", "--all", "--timeout=30s") })
	s.apply(manifest)
	eventually(t, 20*time.Second, "what is missing to be named", func() error {
		said := s.path("broker/production-broker", `{.status.conditions[?(@.type=="ConfigParsed")].message}`)
		if !strings.Contains(said, "ConfigMap knative-eventing/kafka-broker-config: bootstrap.servers is missing") {
			return fmt.Errorf("%q", said)
		}
		return nil
	})
	_, client := s.kafka(4)
	s.must("wait", "broker/production-broker", "--for=condition=Ready", "--timeout=60s")
	if topic := s.path("broker/production-broker", `{.status.annotations.default\.topic}`); topic != "knative-broker-default-production-broker" {
		t.Errorf("topic %q", topic)
	}
	s.serve(app{
		name: "event-processor", image: "gcr.io/knative-releases/knative.dev/eventing/cmd/event_display",
		annotations: map[string]string{"autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/max-scale": "1"},
	})
	s.must("wait", "trigger/reliable-trigger", "--for=condition=Ready", "--timeout=60s")
	var want []string
	url := shared.brokerURL("default", "production-broker")
	for i := range 40 {
		id := fmt.Sprintf("important-%02d", i)
		if code := event(t.Context(), kept, url, "important.event", id, `{"n":1}`); code != http.StatusAccepted {
			t.Fatalf("event %s: %d", id, code)
		}
		if code := event(t.Context(), kept, url, "other.event", "other-"+id, `{}`); code != http.StatusAccepted {
			t.Fatalf("event other-%s: %d", id, code)
		}
		want = append(want, id)
	}
	eventually(t, 30*time.Second, "the important events, and no other", func() error {
		got := s.processed()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	eventually(t, 20*time.Second, "the consumer group to be through", func() error {
		if n := lag(t, client, "knative-trigger-default-reliable-trigger"); n != 0 {
			return fmt.Errorf("a lag of %d", n)
		}
		return nil
	})
	client.AddConsumeTopics("knative-broker-default-production-broker")
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "knative-broker-default-production-broker")
	if err != nil {
		t.Fatal(err)
	}
	partitions, stored := 0, int64(0)
	ends.Each(func(o kadm.ListedOffset) { partitions, stored = partitions+1, stored+o.Offset })
	if partitions != 4 || stored != 80 {
		t.Errorf("%d events in %d partitions", stored, partitions)
	}
}

// TestABacklogInKafkaOutlivesItsKillAndDrains sends thousands of events while nobody takes them and Kafka is killed and started again, then lets
// the subscriber come.
func TestABacklogInKafkaOutlivesItsKillAndDrains(t *testing.T) {
	const events, senders = 3000, 8
	s := shared.namespace(t)
	k, client := s.kafka(4)
	s.apply(`apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: orders
  annotations: {eventing.knative.dev/broker.class: Kafka}
spec:
  config: {apiVersion: v1, kind: ConfigMap, name: kafka-broker-config, namespace: knative-eventing}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: shown}
spec:
  broker: orders
  subscriber: {ref: {apiVersion: v1, kind: Service, name: event-display}}
`)
	s.must("wait", "broker/orders", "--for=condition=Ready", "--timeout=60s")
	eventually(t, 20*time.Second, "the Trigger to read", func() error {
		if got := s.path("trigger/shown", `{.status.conditions[?(@.type=="SubscriptionReady")].status}`); got != "True" {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	var next, accepted, refused atomic.Int64
	killAt := make(chan struct{})
	var senderGroup sync.WaitGroup
	began := time.Now()
	for range senders {
		senderGroup.Go(func() {
			for {
				n := next.Add(1)
				if n > events {
					return
				}
				if n == events/3 {
					close(killAt)
				}
				for event(t.Context(), kept, shared.brokerURL(s.name, "orders"), "order.created", fmt.Sprintf("o-%04d", n), `{"order":1}`) != http.StatusAccepted {
					refused.Add(1)
					if t.Context().Err() != nil {
						return
					}
				}
				accepted.Add(1)
			}
		})
	}
	<-killAt
	k.Kill()
	if err := k.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	senderGroup.Wait()
	sent := time.Since(began)
	if accepted.Load() != events {
		t.Fatalf("%d of %d events accepted", accepted.Load(), events)
	}
	group := "knative-trigger-" + s.name + "-shown"
	if n := lag(t, client, group); n < events {
		t.Errorf("a lag of %d with %d events that nobody took", n, events)
	}
	s.apply(guideFile(t, "04-event-display.yaml"))
	s.must("rollout", "status", "deployment/event-display", "--timeout=60s")
	appeared := time.Now()
	var shown []string
	eventually(t, 120*time.Second, "all events", func() error {
		shown = s.shown()
		if distinct := len(slices.Compact(slices.Sorted(slices.Values(shown)))); distinct < events {
			return fmt.Errorf("%d of %d", distinct, events)
		}
		return nil
	})
	drained := time.Since(appeared)
	eventually(t, 20*time.Second, "the consumer group to be through", func() error {
		if n := lag(t, client, group); n != 0 {
			return fmt.Errorf("a lag of %d", n)
		}
		return nil
	})
	s.readersOutliveTheBroker(group, shown)
	t.Logf("%d events accepted in %v over a kill of Kafka (%d answers were not 202), drained in %v, %d shown twice",
		events, sent.Round(time.Millisecond), refused.Load(), drained.Round(time.Millisecond), len(shown)-events)
}

// readersOutliveTheBroker kills the broker process, and sees that readers go on where they were: their places are kept in Kafka.
func (s *space) readersOutliveTheBroker(group string, before []string) {
	s.t.Helper()
	c, err := shared.component("broker")
	if err != nil {
		s.t.Fatal(err)
	}
	kill(s.t, c.PID)
	for i := range 100 {
		id := fmt.Sprintf("after-%02d", i)
		for event(s.t.Context(), kept, shared.brokerURL(s.name, "orders"), "order.created", id, `{"order":2}`) != http.StatusAccepted {
			if s.t.Context().Err() != nil {
				return
			}
		}
	}
	var shown []string
	eventually(s.t, 60*time.Second, "the events that were sent after "+group+"'s broker was killed", func() error {
		shown = s.shown()
		if distinct := len(slices.Compact(slices.Sorted(slices.Values(shown)))); distinct < len(before)+100 {
			return fmt.Errorf("%d of %d", distinct, len(before)+100)
		}
		return nil
	})
	if again := len(shown) - len(before) - 100; again > 50 {
		s.t.Errorf("%d events were delivered again", again)
	}
}

// TestKafkaSinksSourcesAndChannelsPassEventsOn leads events from a Broker through a KafkaSink, its topic and a KafkaSource, and through a
// KafkaChannel, and a plain record of somebody else's through the source.
func TestKafkaSinksSourcesAndChannelsPassEventsOn(t *testing.T) {
	s := shared.namespace(t)
	k, client := s.kafka(1)
	s.apply(guideFile(t, "04-event-display.yaml"))
	s.apply(fmt.Sprintf(`apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: KafkaSink
metadata: {name: orders}
spec:
  topic: %[2]s-orders
  numPartitions: 3
  replicationFactor: 1
  bootstrapServers: ["%[1]s"]
---
apiVersion: messaging.knative.dev/v1beta1
kind: KafkaChannel
metadata: {name: letters}
spec: {numPartitions: 2, replicationFactor: 1}
---
apiVersion: messaging.knative.dev/v1
kind: Subscription
metadata: {name: letters}
spec:
  channel: {apiVersion: messaging.knative.dev/v1beta1, kind: KafkaChannel, name: letters}
  subscriber: {ref: {apiVersion: v1, kind: Service, name: event-display}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: orders}
spec:
  broker: default
  filters: [{exact: {type: order}}]
  subscriber: {ref: {apiVersion: eventing.knative.dev/v1alpha1, kind: KafkaSink, name: orders}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: letters}
spec:
  broker: default
  filters: [{exact: {type: letter}}]
  subscriber: {ref: {apiVersion: messaging.knative.dev/v1beta1, kind: KafkaChannel, name: letters}}
`, k.Address, s.name))
	s.must("wait", "kafkasink/orders", "kafkachannel/letters", "subscription/letters", "trigger/orders", "trigger/letters", "--for=condition=Ready", "--timeout=60s")
	s.apply(fmt.Sprintf(`apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: orders}
spec:
  consumers: 2
  consumerGroup: %[2]s-group
  topics: [%[2]s-orders]
  bootstrapServers: ["%[1]s"]
  initialOffset: earliest
  sink: {ref: {apiVersion: v1, kind: Service, name: event-display}}
`, k.Address, s.name))
	s.must("wait", "kafkasource/orders", "--for=condition=Ready", "--timeout=60s")
	s.must("rollout", "status", "deployment/event-display", "--timeout=60s")
	var want []string
	for i := range 10 {
		for _, kind := range []string{"order", "letter"} {
			id := fmt.Sprintf("%s-%d", kind, i)
			if code := event(t.Context(), kept, shared.brokerURL(s.name, "default"), kind, id, "{}"); code != http.StatusAccepted {
				t.Fatalf("event %s: %d", id, code)
			}
			want = append(want, id)
		}
	}
	plain, err := client.ProduceSync(t.Context(), &kgo.Record{Topic: s.name + "-orders", Value: []byte("plain")}).First()
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, fmt.Sprintf("partition:%d/offset:%d", plain.Partition, plain.Offset))
	slices.Sort(want)
	eventually(t, 40*time.Second, "all events, each by its way", func() error {
		got := s.shown()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	if n := s.path("kafkasource/orders", "{.status.consumers}"); n != "2" {
		t.Errorf("%s consumers", n)
	}
	columns := s.must("get", "kafkasource,kafkasink,kafkachannel")
	for _, word := range []string{s.name + "-orders", k.Address, "kafka-sink-ingress.knative-eventing.svc", "letters-kn-channel." + s.name, "True"} {
		if !strings.Contains(columns, word) {
			t.Errorf("kubectl get shows no %s:\n%s", word, columns)
		}
	}
	if names := topics(t, client); !slices.Contains(names, "knative-messaging-kafka."+s.name+".letters") {
		t.Errorf("topics %v", names)
	}
	s.must("delete", "subscription/letters", "kafkachannel/letters", "--timeout=30s")
	eventually(t, 20*time.Second, "the channel's topic to go with it", func() error {
		if names := topics(t, client); slices.Contains(names, "knative-messaging-kafka."+s.name+".letters") {
			return errors.New("it is there")
		}
		return nil
	})
}

func topics(t *testing.T, client *kgo.Client) []string {
	t.Helper()
	all, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all.Names()
}

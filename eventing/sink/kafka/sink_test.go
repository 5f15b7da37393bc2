package kafka

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/record"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/fakekafka"
	broker "ebb.dev/ebb/test/kafka"
)

var orders = model.Key{Namespace: "shop", Name: "orders"}

func open(t *testing.T) *Topics {
	t.Helper()
	topics := NewTopics()
	t.Cleanup(topics.Close)
	return topics
}

// send posts an event in binary mode and returns the answer.
func send(t *testing.T, topics *Topics, path, data string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://kafka-sink-ingress.knative-eventing.svc.cluster.local"+path, strings.NewReader(data))
	all := append([]string{
		"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t", "Ce-Partitionkey", "customer-7", "Content-Type", "text/plain",
	}, headers...)
	for i := 0; i < len(all); i += 2 {
		r.Header.Set(all[i], all[i+1])
	}
	h := NewHandler(topics, slog.New(slog.DiscardHandler))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func first(t *testing.T, c cluster.Cluster, name string) *kgo.Record {
	t.Helper()
	client, err := c.Connect(t.Context(), "reader", kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	records := client.PollFetches(ctx).Records()
	if len(records) == 0 {
		t.Fatal("nothing is there")
	}
	return records[0]
}

func TestAnEventThatWasAnsweredIsInTheTopic(t *testing.T) {
	for name, c := range map[string]func(*testing.T) cluster.Cluster{
		"imitation": func(t *testing.T) cluster.Cluster { return fakekafka.At(t) },
		"Apache Kafka": func(t *testing.T) cluster.Cluster {
			return cluster.Cluster{Servers: []string{broker.Start(t, broker.Options{}).Address}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			at, topics := c(t), open(t)
			for _, structured := range []bool{false, true} {
				to := topic.Topic{Name: map[bool]string{false: "binary", true: "structured"}[structured], Partitions: 2, Replication: 1}
				if err := topics.Set(t.Context(), orders, Target{Cluster: at, Topic: to, Structured: structured}); err != nil {
					t.Fatal(err)
				}
				if w := send(t, topics, "/shop/orders", "hello"); w.Code != http.StatusAccepted {
					t.Fatal(w.Code, w.Body)
				}
				r := first(t, at, to.Name)
				e, err := record.Event(r)
				if err != nil || e.ID() != "1" || string(e.Data()) != "hello" || string(r.Key) != "customer-7" {
					t.Errorf("%v, %v, %v", r, e, err)
				}
				if whole := strings.HasPrefix(string(r.Value), "{"); whole != structured {
					t.Errorf("value %s", r.Value)
				}
			}
			if len(topics.producers) != 1 {
				t.Errorf("%d producers for one cluster", len(topics.producers))
			}
		})
	}
}

func TestWhatIsNotTakenSaysWhy(t *testing.T) {
	at, topics := fakekafka.At(t), open(t)
	if err := topics.Set(t.Context(), orders, Target{Cluster: at, Topic: topic.Topic{Name: "orders", Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path, data string
		headers    []string
		code       int
	}{
		"no such sink":  {"/shop/nobody", "x", nil, 404},
		"no such path":  {"/", "x", nil, 404},
		"no event":      {"/shop/orders", "x", []string{"Ce-Id", ""}, 400},
		"too large":     {"/shop/orders", strings.Repeat("x", eventBytes+1), nil, 413},
		"for Kafka too": {"/shop/orders", strings.Repeat("x", eventBytes), nil, 413},
	} {
		if w := send(t, topics, c.path, c.data, c.headers...); w.Code != c.code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	topics.Remove(orders)
	if w := send(t, topics, "/shop/orders", "x"); w.Code != 404 || len(topics.producers) != 0 {
		t.Errorf("after it was removed: %d, %v", w.Code, topics.producers)
	}
}

func TestASinkThatNamesNoPartitionsNeedsItsTopic(t *testing.T) {
	at, topics := fakekafka.At(t), open(t)
	s := &eventingv1alpha1.KafkaSink{Spec: eventingv1alpha1.KafkaSinkSpec{Topic: "theirs"}}
	target := Target{Cluster: at, Topic: TopicOf(s)}
	if err := topics.Set(t.Context(), orders, target); !errors.Is(err, topic.ErrMissing) || !strings.Contains(err.Error(), "spec.numPartitions") {
		t.Fatal(err)
	}
	client, err := at.Connect(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "theirs"); err != nil {
		t.Fatal(err)
	}
	if err := topics.Set(t.Context(), orders, target); err != nil {
		t.Fatal(err)
	}
	s.Spec.NumPartitions = ptr.To[int32](4)
	if got := TopicOf(s); got.External || got.Partitions != 4 {
		t.Errorf("%+v", got)
	}
}

func TestWhatASinkSays(t *testing.T) {
	_, away := cluster.Cluster{Servers: []string{"127.0.0.1:1"}}.Connect(context.Background(), "test")
	for name, c := range map[string]struct {
		in     Input
		ready  corev1.ConditionStatus
		about  conditions.Type
		reason string
		words  string
	}{
		"all is well": {Input{Way: exposure.Way{Reached: true}}, "True", eventingv1alpha1.KafkaSinkConditionTopicReady, "Topic orders created", ""},
		"no Secret": {Input{Way: exposure.Way{Reached: true}, Config: &settings.Wrong{Reason: "SecretNotFound", Message: "Secret shop/login does not exist"}}, "False",
			eventingv1alpha1.KafkaSinkConditionConfigParsed, "SecretNotFound", "shop/login does not exist"},
		"Kafka is away":    {Input{Way: exposure.Way{Reached: true}, Stored: away}, "False", eventingv1alpha1.KafkaSinkConditionTopicReady, "NotReachable", "spec.bootstrapServers: Kafka at 127.0.0.1:1"},
		"no topic":         {Input{Way: exposure.Way{Reached: true}, Stored: errors.New("no topic")}, "False", eventingv1alpha1.KafkaSinkConditionTopicReady, "TopicNotReady", "no topic"},
		"no gateway knows": {Input{Way: exposure.Way{Why: "no gateway has answered"}}, "Unknown", eventingv1alpha1.KafkaSinkConditionAddressable, "RouteNotReady", "no gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			in := c.in
			in.Sink = &eventingv1alpha1.KafkaSink{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", Generation: 2}, Spec: eventingv1alpha1.KafkaSinkSpec{Topic: "orders"}}
			in.ClusterDomain, in.Now = "cluster.local", time.Unix(1_800_000_000, 0)
			s := Decide(in)
			if got := s.GetCondition(conditions.Ready); got == nil || got.Status != c.ready {
				t.Errorf("Ready is %+v", got)
			}
			if got := s.GetCondition(c.about); got == nil || got.Reason != c.reason || !strings.Contains(got.Message, c.words) {
				t.Errorf("%s is %+v", c.about, got)
			}
			if s.Address.URL != "http://kafka-sink-ingress.knative-eventing.svc.cluster.local/shop/orders" {
				t.Error(s.Address.URL)
			}
		})
	}
}

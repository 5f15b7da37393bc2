package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"ebb.dev/ebb/crds"
	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/settings"
)

// runs remembers what it is given.
type runs struct {
	jobs  map[string]Job
	state State
	err   error
}

func (r *runs) Set(_ context.Context, job Job) (State, error) {
	r.jobs[job.ID] = job
	return r.state, r.err
}

func (r *runs) Remove(id string) { delete(r.jobs, id) }

// Subscribers makes everything reachable.
func (r *runs) Subscribers(context.Context, ...types.NamespacedName) error { return nil }

func theSource(change func(*sourcesv1.KafkaSource)) *sourcesv1.KafkaSource {
	k := &sourcesv1.KafkaSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "u1", Generation: 4}}
	k.Spec.BootstrapServers, k.Spec.Topics = []string{"a:9092"}, []string{"orders", "returns"}
	k.Spec.Sink = duck.Destination{URI: ptr.To("http://sink")}
	k.Spec.Consumers = ptr.To[int32](2)
	if change != nil {
		change(k)
	}
	return k
}

func secret(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s
}

func from(name, key string) sourcesv1.SecretValueFromSource {
	return sourcesv1.SecretValueFromSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}}
}

func reconcileOnce(t *testing.T, r *runs, objects ...client.Object) *sourcesv1.KafkaSource {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{crds.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&sourcesv1.KafkaSource{}).Build()
	reconciler := &Reconciler{
		Client: c, Secrets: &settings.Reader{API: c}, Exposer: r, Runner: r, Clock: testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0)),
		Resolver: &destination.Resolver{Reader: c, Mapper: meta.NewDefaultRESTMapper(nil), ClusterDomain: "cluster.local"},
	}
	request := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "orders"}}
	if _, err := reconciler.Reconcile(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	var out sourcesv1.KafkaSource
	if err := c.Get(t.Context(), request.NamespacedName, &out); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return &out
}

func says(t *testing.T, k *sourcesv1.KafkaSource, about conditions.Type, is corev1.ConditionStatus, words string) {
	t.Helper()
	c := k.Status.GetCondition(about)
	if c == nil || c.Status != is || !strings.Contains(c.Reason+": "+c.Message, words) {
		t.Errorf("%s is %+v", about, c)
	}
}

func TestASourceIsReadAsItSays(t *testing.T) {
	r := &runs{jobs: map[string]Job{}, state: State{Consumers: 2}}
	k := reconcileOnce(t, r, theSource(func(k *sourcesv1.KafkaSource) {
		k.Labels = map[string]string{sourcesv1.KafkaKeyTypeLabelKey: "int"}
		k.Spec.InitialOffset, k.Spec.Ordering = sourcesv1.OffsetEarliest, ptr.To(sourcesv1.Unordered)
		k.Spec.CloudEventOverrides = &duck.CloudEventOverrides{Extensions: map[string]string{"team": "shop"}}
		k.Spec.Delivery = &duck.DeliverySpec{Retry: ptr.To[int32](3), DeadLetterSink: &duck.Destination{URI: ptr.To("http://graves")}}
	}))
	says(t, k, conditions.Ready, "True", "")
	job := r.jobs["shop/orders"]
	if job.Group != "knative-kafka-source-u1" || job.Consumers != 2 || !job.Earliest || job.Ordered || job.Converter.KeyType != "int" ||
		job.Converter.Overrides["team"] != "shop" || job.Sink.URL != "http://sink" || job.Delivery.Retry != 3 || job.Delivery.DeadLetter.URL != "http://graves" {
		t.Errorf("%+v", job)
	}
	s := k.Status
	if s.Consumers != 2 || s.ObservedGeneration != 4 || *s.SinkURI != "http://sink" || len(s.CloudEventAttributes) != 2 ||
		s.CloudEventAttributes[1].Source != "/apis/v1/namespaces/shop/kafkasources/orders#returns" {
		t.Errorf("%+v", s)
	}
}

func TestASourceWithoutADeliveryTriesAsKnativeDoes(t *testing.T) {
	r := &runs{jobs: map[string]Job{}}
	reconcileOnce(t, r, theSource(func(k *sourcesv1.KafkaSource) { k.Spec.ConsumerGroup = "mine" }))
	if job := r.jobs["shop/orders"]; job.Delivery != defaultDelivery || job.Group != "mine" || !job.Ordered || job.Earliest {
		t.Errorf("%+v", job)
	}
}

func TestASourceAuthenticatesAsItsSecretsSay(t *testing.T) {
	r := &runs{jobs: map[string]Job{}}
	k := reconcileOnce(t, r, secret("login", map[string]string{"u": "alice", "p": "secret", "t": "SCRAM-SHA-512"}), theSource(func(k *sourcesv1.KafkaSource) {
		k.Spec.Net.SASL = sourcesv1.KafkaSASLSpec{Enable: true, User: from("login", "u"), Password: from("login", "p"), Type: from("login", "t")}
		k.Spec.Net.TLS.Enable = true
	}))
	says(t, k, conditions.Ready, "True", "")
	if a := r.jobs["shop/orders"].Cluster.Auth; a.Protocol != cluster.SASLSSL || a.User != "alice" || a.Password != "secret" || a.Mechanism != cluster.ScramSHA512 {
		t.Errorf("%+v", a)
	}
}

func TestWhatIsWrongWithASourceIsSaid(t *testing.T) {
	_, away := cluster.Cluster{Servers: []string{"127.0.0.1:1"}}.Connect(context.Background(), "test")
	for name, c := range map[string]struct {
		change func(*sourcesv1.KafkaSource)
		runs   runs
		about  conditions.Type
		is     corev1.ConditionStatus
		words  string
	}{
		"no such sink": {func(k *sourcesv1.KafkaSource) {
			k.Spec.Sink = duck.Destination{Ref: &duck.KReference{APIVersion: "v1", Kind: "Service", Name: "nobody"}}
		}, runs{}, sourcesv1.KafkaSourceConditionSinkProvided, "False", "nobody does not exist"},
		"no such Secret": {func(k *sourcesv1.KafkaSource) {
			k.Spec.Net.SASL = sourcesv1.KafkaSASLSpec{Enable: true, User: from("login", "u")}
		}, runs{}, sourcesv1.KafkaSourceConditionConsumerGroup, "False", "SecretNotFound: spec.net.sasl.user: Secret shop/login does not exist"},
		"no user": {func(k *sourcesv1.KafkaSource) { k.Spec.Net.SASL.Enable = true }, runs{}, sourcesv1.KafkaSourceConditionConsumerGroup, "False",
			"NetInvalid: spec.net: sasl.user is missing"},
		"Kafka is away": {nil, runs{err: away}, sourcesv1.KafkaSourceConditionConsumerGroup, "False", "NotReachable: spec.bootstrapServers: Kafka at 127.0.0.1:1"},
		"it stopped":    {nil, runs{state: State{Consumers: 1, Err: errors.New("not allowed")}}, sourcesv1.KafkaSourceConditionConsumerGroup, "False", "NotReading: not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.runs
			r.jobs = map[string]Job{}
			k := reconcileOnce(t, &r, theSource(c.change))
			says(t, k, c.about, c.is, c.words)
			if k.Status.GetCondition(conditions.Ready).IsTrue() {
				t.Error("it is ready")
			}
		})
	}
}

func TestASourceThatIsGoneIsStopped(t *testing.T) {
	r := &runs{jobs: map[string]Job{"shop/orders": {}}}
	reconcileOnce(t, r)
	if len(r.jobs) != 0 {
		t.Error(r.jobs)
	}
}

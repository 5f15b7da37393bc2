package eventtype

import (
	"context"
	"crypto/md5"
	"fmt"
	"log/slog"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/apiserver"
)

func always() bool { return true }

func order(kind string) *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType(kind)
	e.SetSource("/till")
	return &e
}

func TestAKindOfEventIsNotedOnce(t *testing.T) {
	n := NewNotes(always)
	l := &memory.Log{}
	if err := l.Ensure(t.Context(), model.Stream{ID: "s"}); err != nil {
		t.Fatal(err)
	}
	noting := n.Noting(l)
	for range 3 {
		if _, err := noting.Append(t.Context(), "s", order("a"), order("b")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := noting.Append(t.Context(), "nowhere", order("c")); err == nil {
		t.Error("an event for nowhere is stored")
	}
	if len(n.news) != 2 {
		t.Errorf("%d notes", len(n.news))
	}
	first := <-n.news
	n.forget(first)
	n.See("s", order(first.seen.Type))
	if len(n.news) != 2 {
		t.Error("what was forgotten is not new")
	}
	off := NewNotes(func() bool { return false })
	if off.See("s", order("a")); len(off.news) != 0 {
		t.Error("noted although it is off")
	}
}

func TestNotesAreBounded(t *testing.T) {
	n := NewNotes(always)
	for i := range 3 * remembered {
		n.See("s", order(fmt.Sprint(i)))
		if i%2 == 0 {
			<-n.news
		} else if len(n.news) == waiting {
			for range waiting {
				<-n.news
			}
		}
	}
	if len(n.now) > remembered || len(n.old) > remembered {
		t.Errorf("%d and %d are remembered", len(n.now), len(n.old))
	}
	full := NewNotes(always)
	for i := range waiting + 10 {
		full.See("s", order(fmt.Sprint(i)))
	}
	if len(full.news) != waiting || len(full.now) != waiting {
		t.Errorf("%d wait, %d are remembered", len(full.news), len(full.now))
	}
}

func BenchmarkSeeingWhatIsKnown(b *testing.B) {
	n := NewNotes(always)
	e := order("a")
	for b.Loop() {
		n.See("s", e)
	}
}

func room(t *testing.T, objects ...client.Object) client.Client {
	return fake.NewClientBuilder().WithScheme(apiserver.Scheme(t)).WithObjects(objects...).WithStatusSubresource(&eventingv1beta3.EventType{}).Build()
}

func list(t *testing.T, c client.Client) []eventingv1beta3.EventType {
	var l eventingv1beta3.EventTypeList
	if err := c.List(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	return l.Items
}

func TestWhatFlowsHasOneEventTypeAtEachPlace(t *testing.T) {
	broker := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "default", UID: "b"}}
	backing := &messagingv1.InMemoryChannel{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "letters", UID: "i", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "messaging.knative.dev/v1", Kind: "Channel", Name: "letters", UID: "c", Controller: ptr.To(true)},
	}}}
	nats := &messagingv1alpha1.NatsJetStreamChannel{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "papers", UID: "n"}}
	c := room(t, broker, backing, nats)
	streams := map[model.StreamID]model.Stream{
		"broker.b":  {ID: "broker.b", Kind: model.Broker, Key: types.NamespacedName{Namespace: "shop", Name: "default"}},
		"channel.i": {ID: "channel.i", Kind: model.Channel, Key: types.NamespacedName{Namespace: "shop", Name: "letters"}},
		"channel.n": {ID: "channel.n", Kind: model.Channel, Key: types.NamespacedName{Namespace: "shop", Name: "papers"}},
		"former":    {ID: "broker.former", Kind: model.Broker, Key: types.NamespacedName{Namespace: "shop", Name: "default"}},
		"s":         {Kind: "ApiServerSource", Key: types.NamespacedName{Namespace: "shop", Name: "x"}},
	}
	n := NewNotes(always)
	creator := &Creator{Client: c, Notes: n, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler), Stream: func(id model.StreamID) (model.Stream, bool) {
		s, ok := streams[id]
		return s, ok
	}}
	for _, id := range []model.StreamID{"broker.b", "broker.b", "channel.i", "channel.n", "former", "s", "gone"} {
		if err := creator.create(context.Background(), note{id, Seen{"order", "/till", "urn:schema"}}); err != nil {
			t.Fatal(err)
		}
	}
	all := list(t, c)
	if len(all) != 3 {
		t.Fatalf("%d EventTypes: %+v", len(all), all)
	}
	for _, e := range all {
		ref, owner := e.Spec.Reference, e.OwnerReferences[0]
		if ref.Kind != owner.Kind || ref.Name != owner.Name || e.Spec.Type != "order" || *e.Spec.Source != "/till" || *e.Spec.Schema != "urn:schema" {
			t.Errorf("%+v", e)
		}
		if want := map[string]types.UID{"Broker": "b", "Channel": "c", "NatsJetStreamChannel": "n"}[ref.Kind]; owner.UID != want {
			t.Errorf("%s belongs to %s", e.Name, owner.UID)
		}
	}
}

func TestSourcesSayWhatTheySend(t *testing.T) {
	s := &sourcesv1.PingSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", UID: "p"}}
	s.Spec.Sink = duck.Destination{Ref: &duck.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Namespace: "shop", Name: "default"}}
	s.Status.CloudEventAttributes = []duck.CloudEventAttributes{{Type: "a", Source: "/p"}, {Type: "b", Source: "/p"}}
	c := room(t, s)
	r := &Reconciler{Client: c, Enabled: always, Clock: clock.RealClock{}}
	look := func() map[string]string {
		t.Helper()
		if err := r.source(t.Context(), "PingSource", client.ObjectKeyFromObject(s)); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, e := range list(t, c) {
			out[e.Spec.Type] = e.Spec.Reference.Name
		}
		return out
	}
	if got := look(); len(got) != 2 || got["a"] != "default" {
		t.Errorf("%v", got)
	}
	s.Spec.Sink.Ref.Name = "other"
	s.Status.CloudEventAttributes = s.Status.CloudEventAttributes[:1]
	if err := c.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := look(); len(got) != 1 || got["a"] != "other" {
		t.Errorf("%v", got)
	}
	s.Spec.Sink = duck.Destination{URI: ptr.To("http://sink")}
	if err := c.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := look(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestAReferenceThatIsNotThereIsTold(t *testing.T) {
	broker := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "default"}}
	at := func(name string) *eventingv1beta3.EventType {
		e := &eventingv1beta3.EventType{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e-" + name, Generation: 2}}
		if name != "" {
			e.Spec.Reference = &duck.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Name: name}
		}
		return e
	}
	for _, tt := range []struct{ name, ready string }{{"default", "True:"}, {"", "True:"}, {"lost", "False:ReferenceDoesNotExist"}} {
		e := at(tt.name)
		c := room(t, broker, e)
		r := &Reconciler{Client: c, Resolver: &destination.Resolver{Reader: c, Mapper: c.RESTMapper()}, Clock: clock.RealClock{}}
		if _, err := r.EventType(t.Context(), request(e)); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(e), e); err != nil {
			t.Fatal(err)
		}
		ready := e.Status.GetCondition(conditions.Ready)
		if got := string(ready.Status) + ":" + ready.Reason; got != tt.ready {
			t.Errorf("%q: %s %s", tt.name, got, ready.Message)
		}
	}
}

func TestNamesAreKnatives(t *testing.T) {
	at := duck.KReference{Kind: "Broker", Namespace: "shop", Name: "default"}
	// The hash of type, source, namespace and name, one after the other.
	if got := nameAt(at, Seen{"dev.order", "/till", ""}); got != "et-default-"+fmt.Sprintf("%x", md5Of("dev.order/tillshopdefault")) {
		t.Error(got)
	}
}

func md5Of(s string) [16]byte { return md5.Sum([]byte(s)) }

func request(o client.Object) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o)}
}

package flow

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"ebb.dev/ebb/crds"
	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/model"
)

// room is an API, a plane that only remembers, and the reconciler between them.
type room struct {
	*testing.T
	*Reconciler
	streams map[model.StreamID]model.Stream
	readers map[model.ReaderID]model.Reader
	// writes counts what was sent to the API.
	writes int
	// reachable are the Services that the gateways were led to.
	reachable []string
}

func (r *room) EnsureStream(_ context.Context, s model.Stream) error {
	r.streams[s.ID] = s
	return nil
}

func (r *room) RemoveStream(_ context.Context, id model.StreamID) error {
	delete(r.streams, id)
	return nil
}

func (r *room) SetReader(_ context.Context, reader model.Reader) error {
	r.readers[reader.ID] = reader
	return nil
}

func (r *room) RemoveReader(_ context.Context, _ model.StreamID, id model.ReaderID) error {
	delete(r.readers, id)
	return nil
}

// way makes Services and channels reachable as gateways that answer at once would.
type way struct{ *room }

func (w way) Subscribers(_ context.Context, services ...types.NamespacedName) error {
	for _, service := range services {
		if service.Name != "" && !slices.Contains(w.reachable, service.Name) {
			w.reachable = append(w.reachable, service.Name)
		}
	}
	return nil
}

func (w way) Channel(ctx context.Context, placeholder *corev1.Service, route *networking.Ingress) error {
	route.Status.Conditions = []conditions.Condition{{Type: conditions.Ready, Status: corev1.ConditionTrue}}
	for _, o := range []client.Object{placeholder, route} {
		if err := w.Client.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

func newRoom(t *testing.T, objects ...client.Object) *room {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{crds.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{messagingv1.SchemeGroupVersion})
	for _, kind := range []schema.GroupVersionKind{channelKind, inMemoryChannelKind, natsChannelKind} {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	r := &room{T: t, streams: map[model.StreamID]model.Stream{}, readers: map[model.ReaderID]model.Reader{}}
	counted := interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
			// The API gives these; what is there already has them.
			o.SetUID(types.UID(fmt.Sprintf("made-%d", r.writes)))
			o.SetGeneration(1)
			err := c.Create(ctx, o, options...)
			if err == nil {
				r.writes++
			}
			return err
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.UpdateOption) error {
			r.writes++
			return c.Update(ctx, o, options...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, options ...client.SubResourceUpdateOption) error {
			r.writes++
			return c.SubResource(name).Update(ctx, o, options...)
		},
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(mapper).WithObjects(objects...).
		WithInterceptorFuncs(counted).
		WithStatusSubresource(&messagingv1.InMemoryChannel{}, &messagingv1alpha1.NatsJetStreamChannel{}, &messagingv1beta1.KafkaChannel{}, &messagingv1.Channel{}, &messagingv1.Subscription{}, &flowsv1.Sequence{}, &flowsv1.Parallel{}).
		WithIndex(&messagingv1.Subscription{}, channelIndex, byChannel).
		WithIndex(&messagingv1.Subscription{}, destinationIndex, byDestination).Build()
	r.Reconciler = &Reconciler{
		Client: c, Handed: handed.New(r), NATS: handed.New(r), Exposer: way{r}, ClusterDomain: "cluster.local", Gateway: "gateway.example", Clock: testclock.NewFakePassiveClock(now),
		Resolver: &destination.Resolver{Reader: c, Mapper: c.RESTMapper(), ClusterDomain: "cluster.local"},
	}
	return r
}

// settle reconciles everything until nothing more comes of it, as watches would.
func (r *room) settle() {
	r.Helper()
	for range 6 {
		r.each(&messagingv1.ChannelList{}, r.Channel)
		r.each(&messagingv1.InMemoryChannelList{}, r.InMemoryChannel)
		r.each(&messagingv1alpha1.NatsJetStreamChannelList{}, r.NatsJetStreamChannel)
		r.each(&messagingv1.SubscriptionList{}, r.Subscription)
		r.each(&flowsv1.SequenceList{}, r.Sequence)
		r.each(&flowsv1.ParallelList{}, r.Reconciler.Parallel)
	}
}

func (r *room) each(list client.ObjectList, reconcile func(context.Context, ctrl.Request) (ctrl.Result, error)) {
	r.Helper()
	if err := r.Client.List(r.Context(), list); err != nil {
		r.Fatal(err)
	}
	var names []types.NamespacedName
	switch l := list.(type) {
	case *messagingv1.ChannelList:
		names = namesOf(l.Items)
	case *messagingv1.InMemoryChannelList:
		names = namesOf(l.Items)
	case *messagingv1alpha1.NatsJetStreamChannelList:
		names = namesOf(l.Items)
	case *messagingv1.SubscriptionList:
		names = namesOf(l.Items)
	case *flowsv1.SequenceList:
		names = namesOf(l.Items)
	case *flowsv1.ParallelList:
		names = namesOf(l.Items)
	}
	for _, name := range names {
		if _, err := reconcile(r.Context(), ctrl.Request{NamespacedName: name}); err != nil {
			r.Fatal(err)
		}
	}
}

func namesOf[T any, P interface {
	*T
	client.Object
}](items []T) []types.NamespacedName {
	var out []types.NamespacedName
	for i := range items {
		out = append(out, client.ObjectKeyFromObject(P(&items[i])))
	}
	return out
}

func (r *room) get(name string, into client.Object) {
	r.Helper()
	if err := r.Client.Get(r.Context(), types.NamespacedName{Namespace: "shop", Name: name}, into); err != nil {
		r.Fatal(err)
	}
}

func (r *room) names(list client.ObjectList) []string {
	r.Helper()
	var out []string
	if err := r.Client.List(r.Context(), list); err != nil {
		r.Fatal(err)
	}
	switch l := list.(type) {
	case *messagingv1.InMemoryChannelList:
		for _, n := range namesOf(l.Items) {
			out = append(out, n.Name)
		}
	case *messagingv1.SubscriptionList:
		for _, n := range namesOf(l.Items) {
			out = append(out, n.Name)
		}
	}
	return out
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Generation: 1}
}

func to(service string) *duck.Destination {
	return &duck.Destination{Ref: &duck.KReference{APIVersion: "v1", Kind: "Service", Name: service}}
}

func service(name string) *corev1.Service { return &corev1.Service{ObjectMeta: named(name)} }

func TestASubscriptionReadsWhatBacksItsChannel(t *testing.T) {
	s := &messagingv1.Subscription{ObjectMeta: named("show"), Spec: messagingv1.SubscriptionSpec{
		Channel: duck.KReference{Group: "messaging.knative.dev", Kind: "Channel", Name: "orders"}, Subscriber: to("event-display"),
	}}
	r := newRoom(t, &messagingv1.Channel{ObjectMeta: named("orders")}, s, service("event-display"))
	r.settle()
	var c messagingv1.Channel
	var backing messagingv1.InMemoryChannel
	r.get("orders", &c)
	r.get("orders", &backing)
	r.get("show", s)
	reader := r.readers[ReaderIDOf(s)]
	if reader.Stream != StreamID(backing.UID) || reader.Subscriber.URL != "http://event-display.shop.svc.cluster.local" {
		t.Errorf("reader %+v", reader)
	}
	if _, stored := r.streams[reader.Stream]; !stored || !slices.Contains(r.reachable, "event-display") {
		t.Errorf("streams %v, reachable %v", r.streams, r.reachable)
	}
	says(t, &s.Status.Status, conditions.Ready, "True", "")
	for _, listed := range [][]duck.SubscriberStatus{backing.Status.Subscribers, c.Status.Subscribers} {
		if len(listed) != 1 || listed[0].UID != s.UID || listed[0].Ready != corev1.ConditionTrue {
			t.Errorf("status.subscribers %+v", listed)
		}
	}
	if c.Status.Channel == nil || c.Status.Channel.Kind != "InMemoryChannel" || c.Status.Address == nil {
		t.Errorf("Channel says %+v", c.Status)
	}
}

func TestWhatIsDeletedIsTakenBack(t *testing.T) {
	c := &messagingv1.InMemoryChannel{ObjectMeta: named("orders")}
	s := &messagingv1.Subscription{ObjectMeta: named("show"), Spec: messagingv1.SubscriptionSpec{
		Channel: duck.KReference{APIVersion: "messaging.knative.dev/v1", Kind: "InMemoryChannel", Name: "orders"}, Subscriber: to("event-display"),
	}}
	r := newRoom(t, c, s, service("event-display"))
	r.settle()
	if len(r.streams) != 1 || len(r.readers) != 1 {
		t.Fatalf("streams %v, readers %v", r.streams, r.readers)
	}
	for _, o := range []client.Object{s, c} {
		if err := r.Client.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for name, reconcile := range map[string]func(context.Context, ctrl.Request) (ctrl.Result, error){"show": r.Subscription, "orders": r.InMemoryChannel} {
		if _, err := reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.streams) != 0 || len(r.readers) != 0 {
		t.Errorf("streams %v, readers %v", r.streams, r.readers)
	}
}

func TestASequenceFollowsItsSteps(t *testing.T) {
	s := &flowsv1.Sequence{ObjectMeta: named("order"), Spec: flowsv1.SequenceSpec{Steps: []flowsv1.SequenceStep{
		{Destination: *to("one")}, {Destination: *to("two")}, {Destination: *to("three")},
	}}}
	r := newRoom(t, s, service("one"), service("two"), service("three"), service("end"))
	r.settle()
	r.get("order", s)
	says(t, &s.Status.Status, conditions.Ready, "True", "")
	if len(s.Status.ChannelStatuses) != 3 || s.Status.Address == nil || s.Status.Address.URL != "http://order-kn-sequence-0-kn-channel.shop.svc.cluster.local" {
		t.Fatalf("status %+v", s.Status)
	}
	var first messagingv1.Subscription
	r.get("order-kn-sequence-0", &first)
	uid := first.UID

	s.Spec.Steps, s.Spec.Reply = s.Spec.Steps[:1], to("end")
	if err := r.Client.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r.settle()
	want := []string{"order-kn-sequence-0"}
	if got := r.names(&messagingv1.InMemoryChannelList{}); !slices.Equal(got, want) {
		t.Errorf("channels %v, want %v", got, want)
	}
	if got := r.names(&messagingv1.SubscriptionList{}); !slices.Equal(got, want) {
		t.Errorf("Subscriptions %v, want %v", got, want)
	}
	r.get("order-kn-sequence-0", &first)
	if first.UID != uid || first.Spec.Reply == nil || first.Spec.Reply.Ref.Name != "end" {
		t.Errorf("Subscription %s, was %s, replies to %+v", first.UID, uid, first.Spec.Reply)
	}
}

func TestWhatIsSettledIsNotWrittenAgain(t *testing.T) {
	s := &flowsv1.Sequence{ObjectMeta: named("order"), Spec: flowsv1.SequenceSpec{Steps: []flowsv1.SequenceStep{
		{Destination: *to("one"), Delivery: &duck.DeliverySpec{DeadLetterSink: to("graves")}}, {Destination: *to("missing")},
	}}}
	r := newRoom(t, s, &messagingv1.Channel{ObjectMeta: named("orders")}, service("one"), service("graves"))
	r.settle()
	writes := r.writes
	r.Clock = testclock.NewFakePassiveClock(now.Add(time.Hour))
	r.settle()
	if r.writes != writes {
		t.Errorf("%d writes although nothing changed", r.writes-writes)
	}
}

func TestAChannelOfAKindThatIsNotKnownHereIsMirrored(t *testing.T) {
	c := &messagingv1.Channel{ObjectMeta: named("orders")}
	c.Spec.ChannelTemplate = &duck.ChannelTemplateSpec{TypeMeta: metav1.TypeMeta{APIVersion: "messaging.knative.dev/v1beta1", Kind: "KafkaChannel"}}
	s := &messagingv1.Subscription{ObjectMeta: named("show"), Spec: messagingv1.SubscriptionSpec{
		Channel: duck.KReference{APIVersion: "messaging.knative.dev/v1", Kind: "Channel", Name: "orders"}, Subscriber: to("event-display"),
	}}
	r := newRoom(t, c, s, service("event-display"))
	r.settle()
	var backing messagingv1beta1.KafkaChannel
	r.get("orders", &backing)
	backing.Status.ObservedGeneration = backing.Generation
	backing.Status.Conditions = []conditions.Condition{{Type: conditions.Ready, Status: corev1.ConditionTrue}}
	backing.Status.Address = &duck.Addressable{URL: "http://kafka"}
	if err := r.Client.Status().Update(t.Context(), &backing); err != nil {
		t.Fatal(err)
	}
	r.settle()
	r.get("orders", c)
	says(t, &c.Status.Status, conditions.Ready, "True", "")
	if c.Status.Address == nil || c.Status.Address.URL != "http://kafka" {
		t.Errorf("address %+v", c.Status.Address)
	}
	r.get("show", s)
	says(t, &s.Status.Status, messagingv1.SubscriptionConditionReferencesResolved, "False", "kind KafkaChannel are not served here")
}

func TestASubscriptionOfAnotherChannelIsMadeAnew(t *testing.T) {
	s := &flowsv1.Sequence{ObjectMeta: named("order"), Spec: flowsv1.SequenceSpec{Steps: []flowsv1.SequenceStep{{Destination: *to("one")}}}}
	children, err := SequenceChildren(s)
	if err != nil {
		t.Fatal(err)
	}
	old := children.Subscriptions[0]
	old.UID, old.Spec.Channel.Name = "old", "another"
	r := newRoom(t, s, old, service("one"))
	r.settle()
	var now messagingv1.Subscription
	r.get("order-kn-sequence-0", &now)
	if now.UID == "old" || now.Spec.Channel.Name != "order-kn-sequence-0" {
		t.Errorf("Subscription %q reads %s", now.UID, now.Spec.Channel.Name)
	}
}

func TestWhatBelongsToSomebodyElseIsLeftAloneAndTold(t *testing.T) {
	theirs := &messagingv1.InMemoryChannel{ObjectMeta: named("order-kn-sequence-0")}
	s := &flowsv1.Sequence{ObjectMeta: named("order"), Spec: flowsv1.SequenceSpec{Steps: []flowsv1.SequenceStep{{Destination: *to("one")}}}}
	r := newRoom(t, theirs, s, service("one"))
	r.settle()
	r.get("order", s)
	says(t, &s.Status.Status, flowsv1.SequenceConditionChannelsReady, "Unknown", "does not belong to this object")
	r.get("order-kn-sequence-0", theirs)
	if len(theirs.OwnerReferences) != 0 {
		t.Errorf("it was taken: %+v", theirs.OwnerReferences)
	}
}

func TestAParallelLeadsThroughItsBranches(t *testing.T) {
	p := &flowsv1.Parallel{ObjectMeta: named("sort"), Spec: flowsv1.ParallelSpec{
		Branches: []flowsv1.ParallelBranch{{Filter: to("filter"), Subscriber: *to("one")}, {Subscriber: *to("two")}}, Reply: to("end"),
	}}
	r := newRoom(t, p, service("filter"), service("one"), service("two"), service("end"))
	r.settle()
	r.get("sort", p)
	says(t, &p.Status.Status, conditions.Ready, "True", "")
	want := map[string][2]string{
		"sort-kn-parallel-filter-0": {"http://filter.shop.svc.cluster.local", "http://sort-kn-parallel-0-kn-channel.shop.svc.cluster.local"},
		"sort-kn-parallel-filter-1": {"http://sort-kn-parallel-1-kn-channel.shop.svc.cluster.local", ""},
		"sort-kn-parallel-0":        {"http://one.shop.svc.cluster.local", "http://end.shop.svc.cluster.local"},
		"sort-kn-parallel-1":        {"http://two.shop.svc.cluster.local", "http://end.shop.svc.cluster.local"},
	}
	for _, reader := range r.readers {
		if got := [2]string{reader.Subscriber.URL, reader.Reply.URL}; got != want[reader.Key.Name] {
			t.Errorf("%s leads to %v, want %v", reader.Key.Name, got, want[reader.Key.Name])
		}
		delete(want, reader.Key.Name)
	}
	if len(want) > 0 {
		t.Errorf("nothing reads for %v", want)
	}
}

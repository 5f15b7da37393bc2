package sweep

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"ebb.dev/ebb/crds"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
)

const (
	there = "11111111-1111-4111-8111-111111111111"
	gone  = "22222222-2222-4222-8222-222222222222"
)

func TestOnlyWhatIsCertainlyGoneIsDropped(t *testing.T) {
	kept := map[model.StreamID][]model.ReaderID{
		"broker." + there:             {"trigger." + there, "trigger." + gone, "subscription." + gone, "other." + gone, "trigger.x", "replay/trigger." + gone},
		"broker." + gone:              {"trigger." + gone},
		"channel." + there:            {"subscription." + there},
		"apiserversource." + gone:     {"apiserversource." + gone},
		"apiserversource." + there:    {"apiserversource." + there},
		"channel." + gone:             nil,
		"dead/trigger." + there:       nil,
		"dead/trigger." + gone:        nil,
		"side/subscription." + gone:   {"subscription." + gone},
		"side/subscription." + there:  {"subscription." + there},
		"async." + gone:               {"anything"},
		"broker.not-a-uid":            {"trigger." + there},
		"ebb.cluster":                 {"cluster"},
		"dead/trigger." + gone + "#3": nil,
		"broker." + gone + "#x":       nil,
	}
	want := Plan{
		Streams: []model.StreamID{"apiserversource." + gone, "broker." + gone, "channel." + gone, "dead/trigger." + gone, "dead/trigger." + gone + "#3", "side/subscription." + gone},
		Readers: []Reading{{"broker." + there, "subscription." + gone}, {"broker." + there, "trigger." + gone}},
	}
	if diff := cmp.Diff(want, Decide(kept, map[types.UID]bool{there: true})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func swept(t *testing.T, l *memory.Log, system types.UID, funcs interceptor.Funcs, objects ...client.Object) *Sweeper {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{crds.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: system}})
	return &Sweeper{
		Log: Noting{l}, Objects: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Clock: clocktesting.NewFakeClock(time.Now()),
	}
}

func filled(t *testing.T) *memory.Log {
	t.Helper()
	l := &memory.Log{}
	for stream, readers := range map[model.StreamID][]model.ReaderID{
		"broker." + there: {"trigger." + there, "trigger." + gone}, "channel." + there: {"subscription." + there}, "broker." + gone: {"trigger." + gone}, "dead/trigger." + gone: nil,
	} {
		if err := l.Ensure(t.Context(), model.Stream{ID: stream}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), stream, logtest.Event("s", "1", 0)); err != nil {
			t.Fatal(err)
		}
		for _, r := range readers {
			if err := l.Keep(t.Context(), stream, r, 0, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l
}

// objects are all of one UID: which kind has it does not matter.
func objects() []client.Object {
	meta := metav1.ObjectMeta{Namespace: "default", Name: "a", UID: there}
	return []client.Object{
		&eventingv1.Broker{ObjectMeta: meta}, &eventingv1.Trigger{ObjectMeta: meta}, &messagingv1.InMemoryChannel{ObjectMeta: meta}, &messagingv1.Subscription{ObjectMeta: meta},
	}
}

func streams(t *testing.T, l *memory.Log) []model.StreamID {
	t.Helper()
	got, err := l.Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	return got
}

func TestWhatDeletedObjectsLeftIsSwept(t *testing.T) {
	l := filled(t)
	s := swept(t, l, "cluster-1", interceptor.Funcs{}, objects()...)
	s.Run(t.Context())
	if got := streams(t, l); !slices.Equal(got, []model.StreamID{"broker." + there, "channel." + there, ownerStream}) {
		t.Errorf("streams %v", got)
	}
	readers, err := l.Readers(t.Context(), "broker."+there)
	if err != nil || !slices.Equal(readers, []model.ReaderID{"trigger." + there}) {
		t.Errorf("readers %v, %v", readers, err)
	}
	if plan, err := s.Sweep(t.Context()); err != nil || len(plan.Streams)+len(plan.Readers) > 0 {
		t.Errorf("again: %+v, %v", plan, err)
	}
}

func TestALogOfAnotherClusterIsLeftAlone(t *testing.T) {
	l := filled(t)
	if _, err := swept(t, l, "cluster-1", interceptor.Funcs{}, objects()...).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := streams(t, l)
	other := swept(t, l, "cluster-2", interceptor.Funcs{})
	if _, err := other.Sweep(t.Context()); !errors.Is(err, ErrAnotherCluster) {
		t.Error(err)
	}
	other.Run(t.Context())
	if got := streams(t, l); !slices.Equal(got, before) {
		t.Errorf("streams %v", got)
	}
}

func TestNothingIsDroppedWhenTheAPIDoesNotAnswer(t *testing.T) {
	l := filled(t)
	failing := true
	s := swept(t, l, "cluster-1", interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			if failing && list.GetObjectKind().GroupVersionKind().Kind == "SubscriptionList" {
				return errors.New("not now")
			}
			return c.List(ctx, list, o...)
		},
	}, objects()...)
	if _, err := s.Sweep(t.Context()); err == nil {
		t.Error("swept by half a list")
	}
	if got := streams(t, l); len(got) != 5 {
		t.Errorf("streams %v", got)
	}
	done := make(chan struct{})
	go func() {
		s.Run(t.Context())
		close(done)
	}()
	turned := s.Clock.(*clocktesting.FakeClock)
	for !turned.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
	failing = false
	turned.Step(retry)
	<-done
	if got := streams(t, l); len(got) != 3 {
		t.Errorf("later: %v", got)
	}
}

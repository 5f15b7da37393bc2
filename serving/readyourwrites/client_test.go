package readyourwrites

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// behind is a client whose reads show the past until it is told to catch up.
type behind struct {
	client.Client
	past client.Client
}

func (b *behind) Get(ctx context.Context, name client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	return b.past.Get(ctx, name, o, opts...)
}

// catchUp makes the past what is now.
func (b *behind) catchUp(t *testing.T) {
	t.Helper()
	var now corev1.PodList
	if err := b.Client.List(t.Context(), &now); err != nil {
		t.Fatal(err)
	}
	b.past = fake.NewClientBuilder().WithScheme(scheme.Scheme).WithLists(&now).Build()
}

var name = client.ObjectKey{Namespace: "default", Name: "shop"}

func rig() (*Client, *behind, *testclock.FakePassiveClock) {
	b := &behind{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithStatusSubresource(&corev1.Pod{}).Build(), past: fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()}
	clock := testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	return New(b, clock), b, clock
}

func pod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
}

func (c *Client) phase(t *testing.T) corev1.PodPhase {
	t.Helper()
	p := &corev1.Pod{}
	if err := c.Get(t.Context(), name, p); apierrors.IsNotFound(err) {
		return "absent"
	} else if err != nil {
		t.Fatal(err)
	}
	return p.Status.Phase + corev1.PodPhase(p.Labels["written"])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOwnWritesAreSeenBeforeTheCacheShowsThem(t *testing.T) {
	c, b, _ := rig()
	p := pod()
	if got := c.phase(t); got != "absent" {
		t.Errorf("before: %s", got)
	}
	must(t, c.Create(t.Context(), p))
	if got := c.phase(t); got != "" {
		t.Errorf("created: %s", got)
	}
	p.Status.Phase = corev1.PodRunning
	must(t, c.Status().Update(t.Context(), p))
	from := p.DeepCopy()
	p.Labels = map[string]string{"written": "+"}
	must(t, c.Patch(t.Context(), p, client.MergeFrom(from)))
	if got := c.phase(t); got != "Running+" {
		t.Errorf("three writes behind: %s", got)
	}
	b.catchUp(t)
	if got := c.phase(t); got != "Running+" || len(c.writes) != 0 {
		t.Errorf("caught up: %s, %d writes remembered", got, len(c.writes))
	}
}

func TestWhatOthersWroteSinceCounts(t *testing.T) {
	c, b, _ := rig()
	p := pod()
	must(t, c.Create(t.Context(), p))
	b.catchUp(t)
	p.Status.Phase = corev1.PodRunning
	must(t, c.Status().Update(t.Context(), p))
	p.Status.Phase = corev1.PodFailed
	must(t, b.Client.Status().Update(t.Context(), p)) // somebody else
	b.catchUp(t)
	if got := c.phase(t); got != "Failed" {
		t.Errorf("got %s", got)
	}
	must(t, b.Client.Delete(t.Context(), p))
	b.catchUp(t)
	if got := c.phase(t); got != "absent" {
		t.Errorf("deleted by somebody else: %s", got)
	}
}

// A Service made again within the patience found the object of the one before, which the garbage collector had deleted.
func TestWhatAListHasShownIsGoneWhenTheCacheLosesIt(t *testing.T) {
	c, b, _ := rig()
	must(t, c.Create(t.Context(), pod()))
	must(t, c.List(t.Context(), &corev1.PodList{}))
	must(t, b.Client.Delete(t.Context(), pod()))
	b.catchUp(t)
	if got := c.phase(t); got != "absent" {
		t.Errorf("deleted by somebody else: %s", got)
	}
}

func TestACacheThatNeverShowsAWriteIsBelievedInTheEnd(t *testing.T) {
	c, _, clock := rig()
	must(t, c.Create(t.Context(), pod()))
	clock.SetTime(clock.Now().Add(Patience + time.Second))
	if got := c.phase(t); got != "absent" {
		t.Errorf("got %s", got)
	}
}

func TestADeletedObjectIsNotSeenAgain(t *testing.T) {
	c, _, _ := rig()
	p := pod()
	must(t, c.Create(t.Context(), p))
	must(t, c.Delete(t.Context(), p))
	if got := c.phase(t); got != "absent" {
		t.Errorf("got %s", got)
	}
}

func TestNothingIsRememberedForEver(t *testing.T) {
	c, _, clock := rig()
	must(t, c.Create(t.Context(), pod()))
	clock.SetTime(clock.Now().Add(2 * Patience))
	other := pod()
	other.Name = "other"
	must(t, c.Create(t.Context(), other))
	if len(c.writes) != 1 {
		t.Errorf("%d writes remembered", len(c.writes))
	}
}

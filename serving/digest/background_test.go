package digest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/config"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

const sum = "sha256:d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0"

// registry answers as it is told, and remembers what it was asked.
type registry struct {
	mu     sync.Mutex
	answer func(Request) (string, error)
	asked  []Request
}

func (r *registry) Resolve(_ context.Context, request Request) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, request)
	return r.answer(request)
}

func (r *registry) set(answer func(Request) (string, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *registry) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

func found(Request) (string, error)   { return sum, nil }
func missing(Request) (string, error) { return "", errors.New("manifest unknown") }

type rig struct {
	*Background
	registry *registry
	clock    *testclock.FakePassiveClock
	config   *config.Deployment
}

func newRig(t *testing.T, answer func(Request) (string, error)) *rig {
	r := &rig{registry: &registry{answer: answer}, clock: testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0)), config: config.NewSet("cluster.local").Deployment}
	r.Background = NewBackground(r.registry, r.clock, slog.New(slog.DiscardHandler))
	t.Cleanup(r.stop)
	return r
}

// await waits for the revision to be called.
func (r *rig) await(t *testing.T) {
	t.Helper()
	select {
	case <-r.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the revision is not called")
	}
}

func revision(images ...string) *servingv1.Revision {
	r := &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-00001", UID: "1"}}
	for i, image := range images {
		r.Spec.Containers = append(r.Spec.Containers, corev1.Container{Name: string(rune('a' + i)), Image: image})
	}
	return r
}

func TestLookingDoesNotWait(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, func(Request) (string, error) { <-release; return sum, nil })
	rev := revision("gcr.io/shop/cart:v1", "shop")
	for range 3 {
		if got := r.Look(rev, r.config); got.Known || got.Failure != "" {
			t.Errorf("known before it can be: %+v", got)
		}
	}
	close(release)
	r.await(t)
	got := r.Look(rev, r.config)
	want := map[string]string{"a": "gcr.io/shop/cart@" + sum, "b": "index.docker.io/library/shop@" + sum}
	if diff := cmp.Diff(want, got.Images); !got.Known || diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	if n := r.registry.times(); n != 2 {
		t.Errorf("asked %d times for two images", n)
	}
}

func TestTheRegistryIsAskedAsThePodWould(t *testing.T) {
	r := newRig(t, found)
	rev := revision("cart:v1")
	rev.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	r.Look(rev, r.config)
	r.await(t)
	want := []Request{{Image: "cart:v1", Namespace: "default", PullSecrets: []string{"registry"}, ServiceAccount: "default"}}
	if diff := cmp.Diff(want, r.registry.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestDigestsAndSkippedRegistriesAreNotLookedUp(t *testing.T) {
	r := newRig(t, missing)
	pinned := "gcr.io/shop/cart@" + sum
	rev := revision(pinned, "ko.local/cart:v1")
	r.Look(rev, r.config)
	r.await(t)
	if got := r.Look(rev, r.config); got.Images["a"] != pinned || got.Images["b"] != "" || r.registry.times() != 0 {
		t.Errorf("%+v, asked %d times", got, r.registry.times())
	}
}

func TestWhatCannotBeHadIsToldInKnativesWordsAndTriedAgain(t *testing.T) {
	r := newRig(t, missing)
	rev := revision("cart:v1")
	r.Look(rev, r.config)
	want := `Unable to fetch image "cart:v1": failed to resolve image to digest: manifest unknown`
	for i, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		r.await(t)
		got := r.Look(rev, r.config)
		if got.Failure != want || got.Again != wait || r.registry.times() != i+1 {
			t.Errorf("try %d: %+v, asked %d times", i+1, got, r.registry.times())
		}
		r.clock.SetTime(r.clock.Now().Add(wait))
		if again := r.Look(rev, r.config); again.Failure != want {
			t.Errorf("the failure is forgotten while it is tried again: %+v", again)
		}
	}
	r.await(t)
	r.registry.set(found)
	go r.Retry()
	r.await(t) // the local store has changed
	r.Look(rev, r.config)
	r.await(t)
	if got := r.Look(rev, r.config); !got.Known {
		t.Errorf("not found although it is there: %+v", got)
	}
}

func TestAnErrorThatNamesTheImageIsNotSaidTwice(t *testing.T) {
	text := `Unable to fetch image "cart:v1": failed to resolve image to digest: no such image; try: ebb image build`
	r := newRig(t, func(Request) (string, error) { return "", errors.New(text) })
	rev := revision("cart:v1")
	r.Look(rev, r.config)
	r.await(t)
	if got := r.Look(rev, r.config); got.Failure != text {
		t.Error(got.Failure)
	}
}

func TestANameThatIsNoneIsToldWithARemedy(t *testing.T) {
	r := newRig(t, found)
	rev := revision("Not An Image")
	r.Look(rev, r.config)
	r.await(t)
	if got := r.Look(rev, r.config); got.Known || got.Failure == "" {
		t.Errorf("%+v", got)
	}
}

func TestARevisionOfTheSameNameIsAnother(t *testing.T) {
	r := newRig(t, found)
	rev := revision("cart:v1")
	r.Look(rev, r.config)
	r.await(t)
	rev.UID = "2"
	if got := r.Look(rev, r.config); got.Known {
		t.Error("known from the one before")
	}
	r.await(t)
	r.Forget(client.ObjectKeyFromObject(rev))
	if got := r.Look(rev, r.config); got.Known {
		t.Error("known although it was forgotten")
	}
	r.await(t)
}

func TestLookUpsAreSpacedFurtherAndFurther(t *testing.T) {
	for tries, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 9: 512 * time.Second, 10: lastRetry, 1000: lastRetry} {
		if got := backoff(tries); got != want {
			t.Errorf("after %d tries %v, want %v", tries, got, want)
		}
	}
}

package status

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// rig is a Writer over a store of one Service, and the number of writes so far.
func rig(t *testing.T) (w *Writer, stored *servingv1.Service, clock *testclock.FakePassiveClock, writes *int) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := servingv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	stored = &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop"}}
	writes = new(int)
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(stored).WithStatusSubresource(stored).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			*writes++
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	}).Build()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(stored), stored); err != nil {
		t.Fatal(err)
	}
	clock = testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	return NewWriter(c, clock, 0, &Backlog{}), stored, clock, writes
}

func with(s *servingv1.Service, url string) *servingv1.Service {
	s = s.DeepCopy()
	s.Status.URL = url
	return s
}

func TestWhatIsFinalIsWrittenAtOnce(t *testing.T) {
	w, stored, _, writes := rig(t)
	written, again, err := w.Write(t.Context(), stored, with(stored, "http://a"), Now)
	if err != nil || !written || again != 0 || *writes != 1 {
		t.Errorf("%v %v %v, %d writes", written, again, err, *writes)
	}
}

func TestWhatIsPassingIsWrittenOnlyIfItLasts(t *testing.T) {
	for _, c := range []struct {
		pace Pace
		wait time.Duration
	}{{Soon, 250 * time.Millisecond}, {Calm, time.Second}, {Late, 10 * time.Second}} {
		w, stored, clock, writes := rig(t)
		_, again, _ := w.Write(t.Context(), stored, with(stored, "a"), c.pace)
		if again != c.wait || *writes != 0 {
			t.Errorf("pace %d: again after %v, %d writes", c.pace, again, *writes)
		}
		// Another passing status does not put off the write: it has been something else than what is stored all the time.
		clock.SetTime(clock.Now().Add(c.wait / 2))
		if _, again, _ = w.Write(t.Context(), stored, with(stored, "b"), c.pace); again != c.wait/2 || *writes != 0 {
			t.Errorf("pace %d, changed: again after %v, %d writes", c.pace, again, *writes)
		}
		clock.SetTime(clock.Now().Add(c.wait / 2))
		if written, _, _ := w.Write(t.Context(), stored, with(stored, "b"), c.pace); !written || *writes != 1 {
			t.Errorf("pace %d, after its time: %d writes", c.pace, *writes)
		}
	}
}

func TestWhatPassesIsNeverWritten(t *testing.T) {
	w, stored, clock, writes := rig(t)
	w.Write(t.Context(), stored, with(stored, "a"), Soon)
	clock.SetTime(clock.Now().Add(time.Hour))
	if _, again, _ := w.Write(t.Context(), stored, stored.DeepCopy(), Soon); again != 0 || *writes != 0 {
		t.Errorf("what is stored already: again after %v, %d writes", again, *writes)
	}
	if _, again, _ := w.Write(t.Context(), stored, with(stored, "b"), Soon); again != DefaultSoon {
		t.Errorf("a new one waits %v", again)
	}
}

func TestAConflictIsLookedAtAgain(t *testing.T) {
	w, stored, _, _ := rig(t)
	old := stored.DeepCopy()
	old.ResourceVersion = "1"
	written, again, err := w.Write(t.Context(), old, with(old, "a"), Now)
	if err != nil || written || again == 0 {
		t.Errorf("%v %v %v", written, again, err)
	}
}

func TestWhatIsGoneIsNoError(t *testing.T) {
	w, stored, _, _ := rig(t)
	gone := with(stored, "a")
	gone.Name = "gone"
	if _, again, err := w.Write(t.Context(), gone, with(gone, "b"), Now); err != nil || again != 0 {
		t.Errorf("%v %v", again, err)
	}
}

// However much is on its way at once, telling of it must not take the API server's time from getting it there.
func TestTheMoreIsOnItsWayTheLaterItIsTold(t *testing.T) {
	w, stored, clock, writes := rig(t)
	const alone = MostPerSecond / 4 // as many as may be written in a DefaultSoon
	const n = 20 * alone
	write := func(i int) time.Duration {
		on := stored.DeepCopy()
		on.Name = fmt.Sprintf("shop-%d", i)
		_, again, err := w.Write(t.Context(), on, with(on, "a"), Soon)
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	for i := range n {
		write(i)
	}
	clock.SetTime(clock.Now().Add(DefaultSoon))
	if again := write(0); again != 19*DefaultSoon {
		t.Errorf("one of %d is to be told after another %v, want %v", n, again, 19*DefaultSoon)
	}
	for i := 1; i < n; i++ {
		w.Forget(client.ObjectKey{Namespace: "default", Name: fmt.Sprintf("shop-%d", i)})
	}
	if again := write(0); again != 19*DefaultSoon {
		t.Errorf("the last of %d is hurried: it is to be told after another %v", n, again)
	}
	if again := write(n); again != DefaultSoon {
		t.Errorf("one that comes when they are through is to be told after %v", again)
	}
	if _, again, _ := w.Write(t.Context(), stored, with(stored, "a"), Calm); again != time.Second {
		t.Errorf("what waits at another pace is to be told after %v", again)
	}
	for i := range 1000 * alone {
		write(i)
	}
	if again := write(n + 1); again != longest || *writes != 0 {
		t.Errorf("one of a thousand times as many is to be told after %v, want %v; %d writes", again, longest, *writes)
	}
}

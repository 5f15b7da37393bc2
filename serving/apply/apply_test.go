package apply

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"ebb.dev/ebb/serving/readyourwrites"
)

func service(name, app string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": app}}}
}

// rig is an Applier whose cache shows nothing of what is there.
func rig(t *testing.T, there ...client.Object) (*Applier, client.Client, *events.FakeRecorder) {
	t.Helper()
	api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(there...).Build()
	blind := interceptor.NewClient(api, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, name client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
			return apierrors.NewNotFound(corev1.Resource("services"), name.Name)
		},
	})
	recorder := events.NewFakeRecorder(100)
	clock := testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	return &Applier{Client: readyourwrites.New(blind, clock), Live: api, Events: recorder, Log: slog.New(slog.DiscardHandler)}, api, recorder
}

func told(recorder *events.FakeRecorder) string {
	var all []string
	for {
		select {
		case e := <-recorder.Events:
			all = append(all, e)
		default:
			return strings.Join(all, "\n")
		}
	}
}

func TestAPlanIsCarriedOutAndTold(t *testing.T) {
	old, gone := service("old", "a"), service("gone", "a")
	a, api, recorder := rig(t, old, gone)
	for _, o := range []client.Object{old, gone} {
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
	}
	to := old.DeepCopy()
	to.Labels["app"] = "b"
	plan := Plan{Create: []client.Object{service("x", "a"), service("y", "a")}, Update: []Update{{From: old, To: to}}, Delete: []client.Object{gone}}
	if err := a.Apply(t.Context(), service("owner", ""), plan); err != nil {
		t.Fatal(err)
	}
	var all corev1.ServiceList
	if err := api.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all.Items {
		got = append(got, s.Name+"="+s.Labels["app"])
	}
	if want := "old=b x=a y=a"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	text := told(recorder)
	for _, want := range []string{`Normal Created Created Service "x"`, `Normal Created Created Service "y"`, `Normal Deleted Deleted Service "gone"`} {
		if !strings.Contains(text, want) {
			t.Errorf("not told: %s in:\n%s", want, text)
		}
	}
}

// What stands in the way and is not in the cache is found out, so that the next decision can tell whose it is.
func TestWhatStandsInTheWayIsSeenAfterwards(t *testing.T) {
	a, _, recorder := rig(t, service("x", "theirs"))
	err := a.Apply(t.Context(), service("owner", ""), Plan{Create: []client.Object{service("x", "ours")}})
	if !errors.Is(err, ErrBehind) {
		t.Fatalf("got %v", err)
	}
	seen, err := Get(t.Context(), a.Client, "default", "x", &corev1.Service{})
	if err != nil || seen == nil || seen.Labels["app"] != "theirs" {
		t.Errorf("%+v, %v", seen, err)
	}
	if text := told(recorder); text != "" {
		t.Errorf("told: %s", text)
	}
}

func TestAnExclusiveChangeGivesWay(t *testing.T) {
	from := service("x", "a")
	a, api, _ := rig(t, from)
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(from), from); err != nil {
		t.Fatal(err)
	}
	theirs := from.DeepCopy()
	theirs.Labels["app"] = "theirs"
	if err := api.Update(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	to := from.DeepCopy()
	to.Labels["app"] = "ours"
	if err := a.Apply(t.Context(), from, Plan{Update: []Update{{From: from, To: to, Exclusive: true}}}); !errors.Is(err, ErrBehind) {
		t.Errorf("got %v", err)
	}
}

func TestARefusalIsToldAndReturned(t *testing.T) {
	api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return apierrors.NewForbidden(corev1.Resource("services"), "x", errors.New("exceeded quota"))
		},
	}).Build()
	recorder := events.NewFakeRecorder(10)
	a := &Applier{Client: readyourwrites.New(api, testclock.NewFakePassiveClock(time.Now())), Live: api, Events: recorder, Log: slog.New(slog.DiscardHandler)}
	err := a.Apply(t.Context(), service("owner", ""), Plan{Create: []client.Object{service("x", ""), service("y", "")}})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "create Service default/x") {
		t.Errorf("got %v", err)
	}
	if text := told(recorder); !strings.Contains(text, `Warning CreationFailed Failed to create Service "y"`) {
		t.Error(text)
	}
}

func TestAParentThatIsGoneGetsNoChildrenAnew(t *testing.T) {
	owner := service("owner", "")
	owner.UID = "1"
	plan := Plan{Create: []client.Object{service("x", "")}}
	for _, c := range []struct {
		name     string
		there    []client.Object
		observed int64
		plan     Plan
		want     bool
	}{
		{"there", []client.Object{owner}, 1, plan, false},
		{"gone", nil, 1, plan, true},
		{"new", nil, 0, plan, false},
		{"nothing to make", nil, 1, Plan{}, false},
	} {
		a, _, _ := rig(t, c.there...)
		if gone, err := a.Gone(t.Context(), owner, c.observed, c.plan); gone != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.name, gone, err)
		}
	}
}

func TestLongNewsAreCut(t *testing.T) {
	a, _, recorder := rig(t)
	a.Tell(service("x", ""), Warning("Long", strings.Repeat("100% ", 400)))
	if text := told(recorder); len(text) > 1100 || !strings.HasSuffix(text, "…") || strings.Contains(text, "MISSING") {
		t.Errorf("%d bytes: …%s", len(text), text[len(text)-20:])
	}
}

func TestTheShortestWaitCounts(t *testing.T) {
	r, err := Result(nil, 0, 3*time.Second, 2*time.Second)
	if err != nil || r.RequeueAfter != 2*time.Second {
		t.Errorf("%v, %v", r, err)
	}
	if r, err = Result(ErrBehind); err != nil || r.RequeueAfter == 0 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err = Result(errors.New("no"), time.Second); err == nil {
		t.Error("an error is lost")
	}
}

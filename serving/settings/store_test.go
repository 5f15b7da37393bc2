package settings

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"

	informers "k8s.io/client-go/informers"

	"ebb.dev/ebb/crds/config"
)

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-serving", Name: name}, Data: data}
}

// A cache of several namespaces calls from a goroutine for each: none of what they bring is lost.
func TestConfigMapsOfSeveralNamespacesComeAtOnce(t *testing.T) {
	for range 200 {
		s := newStore("cluster.local", slog.New(slog.DiscardHandler), events.NewFakeRecorder(10))
		serving := configMap(config.NetworkName, map[string]string{"default-external-scheme": "https"})
		eventing := configMap(config.PingDefaultsName, map[string]string{"data-max-size": "77"})
		eventing.Namespace = "knative-eventing"
		var both sync.WaitGroup
		for _, m := range []*corev1.ConfigMap{serving, eventing} {
			both.Go(func() { s.changed(m, false) })
		}
		both.Wait()
		if set := s.current.Load(); set.Network.DefaultExternalScheme != "https" || set.Eventing.Ping.DataMaxSize != 77 {
			t.Fatalf("one of them is lost: %+v, %+v", set.Network, set.Eventing)
		}
	}
}

func TestTheStoreFollowsTheConfigMaps(t *testing.T) {
	api := fake.NewClientset(configMap(config.NetworkName, map[string]string{"default-external-scheme": "https"}))
	factory := informers.NewSharedInformerFactory(api, 0)
	recorder := events.NewFakeRecorder(10)
	s := newStore("cluster.local", slog.New(slog.DiscardHandler), recorder)
	s.informer = func(ctx context.Context) (informer, error) {
		i := factory.Core().V1().ConfigMaps().Informer()
		factory.Start(ctx.Done())
		return i, nil
	}
	early, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(early); err == nil || !strings.Contains(err.Error(), "not read yet") {
		t.Errorf("before anything is read: %v", err)
	}
	changes, others := s.Changes(config.NetworkName), s.Changes(config.GCName)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Start(ctx) }()
	set, err := s.Get(t.Context())
	if err != nil || set.Network.DefaultExternalScheme != "https" {
		t.Fatalf("%v, %v", set, err)
	}
	update := func(data map[string]string) {
		if _, err := api.CoreV1().ConfigMaps("knative-serving").Update(t.Context(), configMap(config.NetworkName, data), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	update(map[string]string{"default-external-scheme": "http"})
	within(t, changes, "a change")
	if set, _ = s.Get(t.Context()); set.Network.DefaultExternalScheme != "http" {
		t.Error("the change is told before it is in force")
	}

	update(map[string]string{"rollout-duration": "soon"})
	if e := within(t, recorder.Events, "an event"); !strings.Contains(e, "Warning NotAccepted") || !strings.Contains(e, "rollout-duration") {
		t.Errorf("event %q", e)
	}
	if set, _ = s.Get(t.Context()); set.Network.DefaultExternalScheme != "http" {
		t.Error("a bad value replaced a good one")
	}
	if err := api.CoreV1().ConfigMaps("knative-serving").Delete(t.Context(), config.NetworkName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, changes, "the defaults")
	select {
	case <-others:
		t.Error("told of a ConfigMap that was not asked for")
	default:
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("%s has not come", what)
		panic("unreachable")
	}
}

func TestTheSameDataAgainIsNoChange(t *testing.T) {
	s := newStore("cluster.local", slog.New(slog.DiscardHandler), events.NewFakeRecorder(1))
	close(s.loaded)
	changes := s.Changes(config.GCName)
	s.changed(configMap(config.GCName, map[string]string{"min-non-active-revisions": "1"}), false)
	<-changes
	s.changed(configMap(config.GCName, map[string]string{"min-non-active-revisions": "1"}), false)
	s.changed(configMap("other", nil), false)
	s.changed(toolscache.DeletedFinalStateUnknown{}, true)
	select {
	case <-changes:
		t.Error("told of a change where there is none")
	default:
	}
}

func TestAFixedStoreNeverWaits(t *testing.T) {
	set := config.NewSet("cluster.local")
	if got, err := Fixed(set).Get(t.Context()); err != nil || got != set {
		t.Errorf("%v, %v", got, err)
	}
}

package eventrig

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/crds/manifests"
	"ebb.dev/ebb/eventing/destination"
	eventlog "ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/apiserver"
)

// Rig is a cluster for one test.
type Rig struct {
	*apiserver.Cluster
	// Client reads and writes directly, Manager is what controllers are added to before Run.
	Client   client.Client
	Manager  ctrl.Manager
	Resolver *destination.Resolver
	Log      *slog.Logger
	// Plane is what streams and readers are handed to.
	Plane *Plane
}

// Start starts an API server, with the controller manager beside it if that is asked for, and installs our kinds. Nothing asks admission.
func Start(t *testing.T, o apiserver.Options) *Rig {
	t.Helper()
	r := &Rig{Cluster: apiserver.Start(t, o), Log: slog.New(slog.DiscardHandler), Plane: &Plane{readers: map[model.ReaderID]model.Reader{}}}
	scheme := apiserver.Scheme(t)
	var err error
	if r.Client, err = client.New(r.Config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	r.install(t)
	log.SetLogger(logr.Discard())
	r.Manager, err = ctrl.NewManager(r.Config, ctrl.Options{
		Scheme: scheme, Metrics: server.Options{BindAddress: "0"}, Logger: logr.Discard(),
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Resolver = &destination.Resolver{Reader: r.Manager.GetClient(), Mapper: r.Manager.GetRESTMapper(), ClusterDomain: "cluster.local"}
	return r
}

func (r *Rig) install(t *testing.T) {
	for _, name := range []string{"default", eventing.SystemNamespace} {
		err := r.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
	definitions := manifests.CustomResourceDefinitions()
	for _, d := range definitions {
		if err := r.Client.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range definitions {
		apiserver.Eventually(t, "definition "+d.Name+" is established", func(ctx context.Context) bool {
			var have apiextensionsv1.CustomResourceDefinition
			return r.Client.Get(ctx, client.ObjectKey{Name: d.Name}, &have) == nil && slices.ContainsFunc(have.Status.Conditions,
				func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
					return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
				})
		})
	}
}

// Run runs the manager until the test ends.
func (r *Rig) Run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Manager.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("manager: %v", err)
		}
	})
	if !r.Manager.GetCache().WaitForCacheSync(ctx) {
		t.Fatal("the cache has not synced")
	}
}

// Namespace makes one with a Service called sink in it.
func (r *Rig) Namespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	r.Create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "sink"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
}

// Create makes objects.
func (r *Rig) Create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := r.Client.Create(t.Context(), o); err != nil {
			t.Fatalf("create %T %s: %v", o, client.ObjectKeyFromObject(o), err)
		}
	}
}

// Change reads an object, changes it and writes it, as often as it takes.
func Change[O client.Object](t *testing.T, r *Rig, o O, f func(O)) {
	t.Helper()
	apiserver.Eventually(t, "change "+o.GetName(), func(ctx context.Context) bool {
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return false
		}
		f(o)
		return r.Client.Update(ctx, o) == nil
	})
}

// Subscribers is an exposer that leads nowhere.
func (r *Rig) Subscribers(context.Context, ...types.NamespacedName) error { return nil }

// Plane keeps events in memory, and remembers readers.
type Plane struct {
	memory.Log

	mu      sync.Mutex
	readers map[model.ReaderID]model.Reader
}

// EnsureStream makes a stream.
func (p *Plane) EnsureStream(ctx context.Context, s model.Stream) error { return p.Ensure(ctx, s) }

// RemoveStream drops one.
func (p *Plane) RemoveStream(ctx context.Context, id model.StreamID) error { return p.Remove(ctx, id) }

// SetReader remembers a reader.
func (p *Plane) SetReader(_ context.Context, r model.Reader) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readers[r.ID] = r
	return nil
}

// RemoveReader forgets it.
func (p *Plane) RemoveReader(_ context.Context, _ model.StreamID, id model.ReaderID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.readers, id)
	return nil
}

// Accept stores events.
func (p *Plane) Accept(ctx context.Context, id model.StreamID, events ...*event.Event) error {
	_, err := p.Append(ctx, id, events...)
	return err
}

// Reader is the reader of an object, if it was handed over.
func (p *Plane) Reader(kind model.Kind, key model.Key) (model.Reader, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range maps.Values(p.readers) {
		if r.Kind == kind && r.Key == key {
			return r, true
		}
	}
	return model.Reader{}, false
}

// Stored are the events of a stream.
func (p *Plane) Stored(ctx context.Context, id model.StreamID) []*event.Event {
	oldest, next, err := p.Bounds(ctx, id)
	if err != nil {
		return nil
	}
	var positions []eventlog.Position
	for at := oldest; at < next; at++ {
		positions = append(positions, at)
	}
	records, err := p.Get(ctx, id, positions...)
	if err != nil {
		return nil
	}
	var out []*event.Event
	for _, record := range records {
		out = append(out, record.Event)
	}
	return out
}

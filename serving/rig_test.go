package serving_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ebb.dev/ebb/crds/admission"
	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/manifests"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/serving"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/background"
)

// rig is the room at work on a real API server, between a fake autoscaler, fake gateways and a fake image store.
type rig struct {
	*apiserver.Cluster
	whole    *testing.T
	api      client.Client
	writes   *counter
	images   *images
	gateways *gateways
	scaler   *scaler
	changed  chan struct{}
	stop     func()
}

const (
	// coalesce is longer than in life: on a busy machine the way of a single Service to Ready may take longer than the default.
	coalesce = 2 * time.Second
	// stillness is how long nothing must have been written to be sure that nothing more will be.
	stillness = coalesce / 4
)

func startRig(t *testing.T) *rig {
	t.Helper()
	ctrl.SetLogger(logr.FromSlogHandler(testLog(t).Handler()))
	c := apiserver.Start(t, apiserver.Options{Controllers: true})
	r := &rig{
		Cluster: c, whole: t, api: c.Client(t, apiserver.Scheme(t)), writes: &counter{}, changed: make(chan struct{}, 1),
		images: &images{missing: map[string]bool{}}, gateways: &gateways{programmed: map[types.NamespacedName]*networkingv1alpha1.Ingress{}},
		scaler: &scaler{},
	}
	apiserver.Install(t, r.api, webhooks(t))
	r.patch(t, config.DomainName, `{"data":{"example.com":""}}`)
	r.run(coalesce)
	return r
}

// run starts the room until the rig's test ends or r.stop is called. Which of the tests on the rig asks for it does not matter.
func (r *rig) run(coalesce time.Duration) {
	t := r.whole
	t.Helper()
	mgr := r.manager(t)
	err := serving.Setup(mgr, serving.Options{
		Images: r.images, ImagesChanged: r.changed, Gateways: r.gateways,
		PublicGatewayHost: "ebb-gateway.ebb-system.svc.cluster.local", InternalGatewayHost: "ebb-gateway-internal.ebb-system.svc.cluster.local",
		ExternalPort: 8080, DefaultReplicaProxy: serving.NodeProxy, Coalesce: coalesce, Log: testLog(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.scaler.client = mgr.GetClient()
	if err := ctrl.NewControllerManagedBy(mgr).For(&autoscalingv1alpha1.PodAutoscaler{}).Complete(r.scaler); err != nil {
		t.Fatal(err)
	}
	r.stop = background.Run(t, mgr.Start)
}

// testLog shows what the room logs when EBB_TEST_LOG is set.
func testLog(t *testing.T) *slog.Logger {
	if os.Getenv("EBB_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (r *rig) manager(t *testing.T) manager.Manager {
	t.Helper()
	counted := rest.CopyConfig(r.Config)
	counted.Wrap(r.writes.wrap)
	mgr, err := ctrl.NewManager(counted, manager.Options{
		Scheme:     apiserver.Scheme(t),
		Metrics:    server.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: ptr.To(true)}, // it is started again
		Logger:     logr.FromSlogHandler(testLog(t).Handler()),
		Cache:      cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: serving.CacheByObject()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return mgr
}

func webhooks(t *testing.T) apiserver.Webhooks {
	set := config.NewSet("cluster.local")
	for _, m := range manifests.ConfigMaps() {
		next, _, err := set.With(m.Name, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		set = next
	}
	return apiserver.Webhooks{
		Handler: admission.NewHandler(func() *config.Set { return set }, slog.New(slog.DiscardHandler)),
		Registrations: func(at func(string) admissionregistrationv1.WebhookClientConfig) []client.Object {
			return []client.Object{admission.Mutating(at), admission.Validating(at), admission.Config(at)}
		},
	}
}

func (r *rig) patch(t *testing.T, configMap, patch string) {
	t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-serving", Name: configMap}}
	if err := r.api.Patch(t.Context(), m, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

// namespace makes a namespace for one test.
func (r *rig) namespace(t *testing.T, name string) string {
	t.Helper()
	if err := r.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
	return name
}

// counter counts the writes that go through a client, by namespace. Events do not count.
type counter struct {
	mu     sync.Mutex
	writes map[string][]string
}

func (c *counter) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if _, path, namespaced := strings.Cut(request.URL.Path, "/namespaces/"); namespaced && request.Method != http.MethodGet {
			namespace, object, _ := strings.Cut(path, "/")
			if !strings.HasPrefix(object, "events") {
				c.add(namespace, write(request, object, response))
			}
		}
		return response, err
	})
}

// write is a line about a write: its verb, its object and, if it was refused, what with.
func write(request *http.Request, object string, response *http.Response) string {
	line := request.Method + " " + object
	if response != nil && response.StatusCode >= http.StatusBadRequest {
		line += fmt.Sprintf(" (%d)", response.StatusCode)
	}
	return line
}

// tally sums writes up by verb, kind and subresource, the most frequent first.
func tally(writes []string) string {
	counts := map[string]int{}
	for _, line := range writes {
		verb, object, _ := strings.Cut(line, " ")
		object, refused, _ := strings.Cut(object, " ")
		parts := strings.Split(object, "/")
		if len(parts) > 2 {
			parts[0] += "/" + parts[2]
		}
		counts[strings.TrimSpace(verb+" "+parts[0]+" "+refused)]++
	}
	lines := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(counts[b]-counts[a], strings.Compare(a, b)) })
	for i, line := range lines {
		lines[i] = fmt.Sprintf("%6d  %s", counts[line], line)
	}
	return strings.Join(lines, "\n")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func (c *counter) add(namespace, write string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes == nil {
		c.writes = map[string][]string{}
	}
	c.writes[namespace] = append(c.writes[namespace], write)
}

func (c *counter) of(namespace string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.writes[namespace]...)
}

// images is a store that has every image but some.
type images struct {
	mu      sync.Mutex
	missing map[string]bool
}

const digest = "sha256:d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0"

func (i *images) Resolve(_ context.Context, request serving.ResolveRequest) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.missing[request.Image] {
		return "", errors.New("it is not in the local store and no registry is in reach")
	}
	return digest, nil
}

func (i *images) set(image string, missing bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.missing[image] = missing
}

// gateways accept everything but hosts that are taken.
type gateways struct {
	mu         sync.Mutex
	programmed map[types.NamespacedName]*networkingv1alpha1.Ingress
	taken      string
	forgotten  []types.NamespacedName
}

func (g *gateways) Program(_ context.Context, i *networkingv1alpha1.Ingress) ([]string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, rule := range i.Spec.Rules {
		for _, host := range rule.Hosts {
			if host == g.taken {
				return []string{fmt.Sprintf("host %s is taken by Ingress other/shop", host)}, nil
			}
		}
	}
	g.programmed[client.ObjectKeyFromObject(i)] = i.DeepCopy()
	return nil, nil
}

func (g *gateways) Forget(name types.NamespacedName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.programmed, name)
	g.forgotten = append(g.forgotten, name)
}

func (g *gateways) take(host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken = host
}

func (g *gateways) get(namespace, name string) *networkingv1alpha1.Ingress {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.programmed[types.NamespacedName{Namespace: namespace, Name: name}]
}

// scaler says of every PodAutoscaler that its replicas have come up, once: asleep if there shall be none to begin with.
type scaler struct {
	client client.Client
	mu     sync.Mutex
	held   map[string]bool // namespaces in which nothing comes up
}

func (s *scaler) hold(namespace string, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[string]bool{}
	}
	s.held[namespace] = held
}

func (s *scaler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	s.mu.Lock()
	held := s.held[request.Namespace]
	s.mu.Unlock()
	pa := &autoscalingv1alpha1.PodAutoscaler{}
	if err := s.client.Get(ctx, request.NamespacedName, pa); err != nil || held || pa.Status.IsScaleTargetInitialized() {
		return reconcile.Result{RequeueAfter: map[bool]time.Duration{true: 50 * time.Millisecond}[held]}, client.IgnoreNotFound(err)
	}
	deployment := &appsv1.Deployment{}
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: pa.Namespace, Name: pa.Spec.ScaleTargetRef.Name}, deployment); err != nil {
		return reconcile.Result{RequeueAfter: 10 * time.Millisecond}, client.IgnoreNotFound(err)
	}
	pa.Status.ObservedGeneration = pa.Generation
	pa.Status.ServiceName, pa.Status.MetricsServiceName = pa.Name, pa.Name
	m := pa.Status.Mark(metav1.Now())
	m.ScaleTargetInitialized()
	m.SKSReady()
	n := ptr.Deref(deployment.Spec.Replicas, 1)
	if n > 0 {
		m.Active()
	} else {
		m.Inactive(autoscalingv1alpha1.ReasonNoTraffic, autoscalingv1alpha1.MessageNoTraffic)
	}
	pa.Status.ActualScale, pa.Status.DesiredScale = ptr.To(n), ptr.To(n)
	return reconcile.Result{}, s.client.Status().Update(ctx, pa)
}

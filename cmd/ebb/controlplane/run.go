package controlplane

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"ebb.dev/ebb/autoscale/scale"
	"ebb.dev/ebb/autoscale/signal"
	"ebb.dev/ebb/autoscale/target"
	"ebb.dev/ebb/crds"
	"ebb.dev/ebb/crds/admission"
	"ebb.dev/ebb/crds/config"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/xds"
	xdscache "ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/drain"
	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/watch"
)

// controlPlane is one run.
type controlPlane struct {
	Options
	config   *rest.Config
	kube     kubernetes.Interface
	manager  manager.Manager
	configs  *configs
	ca       *identity.CA
	scaling  *scaling
	plane    *xds.Plane
	watcher  *watch.Watcher
	serving  bool
	ready    atomic.Bool
	registry *prometheus.Registry
}

// Run serves until the context ends.
func Run(ctx context.Context, o Options) error {
	c := &controlPlane{Options: o, registry: prometheus.NewRegistry()}
	if err := c.connect(ctx); err != nil {
		return err
	}
	if err := c.assemble(ctx); err != nil {
		return err
	}
	return c.serve(ctx)
}

// connect reaches the API and prepares the cluster.
func (c *controlPlane) connect(ctx context.Context) error {
	var err error
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return fmt.Errorf("kubeconfig %q: %w", c.Kubeconfig, err)
	}
	c.config.UserAgent = "ebb-control-plane"
	// The API server has its own limits; a client-side one only adds latency to wakes.
	c.config.QPS, c.config.Burst = -1, -1
	protobuf := rest.CopyConfig(c.config)
	protobuf.ContentType = runtime.ContentTypeProtobuf
	protobuf.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if c.kube, err = kubernetes.NewForConfig(protobuf); err != nil {
		return fmt.Errorf("connect to the API: %w", err)
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	direct, err := client.New(c.config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("connect to the API: %w", err)
	}
	if c.Install {
		if err := install(ctx, direct, c.Domain); err != nil {
			return err
		}
	}
	if c.InternalAddress != "" {
		if err := internalGateway(ctx, direct, internalServiceName, c.InternalAddress, int32(c.Internal[0].Port)); err != nil {
			return err
		}
	}
	return c.newManager(scheme)
}

// internalServiceName is the Service of the internal gateway, in ebb-system.
const internalServiceName = "ebb-gateway-internal"

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, crds.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("make the scheme: %w", err)
		}
	}
	return scheme, nil
}

// newManager makes the manager with caches that hold only what is used.
func (c *controlPlane) newManager(scheme *runtime.Scheme) error {
	ours, err := labels.NewRequirement(serving.RevisionLabelKey, selection.Exists, nil)
	if err != nil {
		return err
	}
	others, err := labels.NewRequirement(serving.RevisionLabelKey, selection.DoesNotExist, nil)
	if err != nil {
		return err
	}
	log.SetLogger(logrOf(c.Log))
	c.manager, err = ctrl.NewManager(c.config, manager.Options{
		Scheme: scheme, Logger: logrOf(c.Log), NewCache: startedByUs,
		Metrics:          server.Options{BindAddress: "0"},
		LeaderElection:   c.LeaderElect,
		LeaderElectionID: "ebb-control-plane", LeaderElectionNamespace: systemNamespaces[0],
		LeaderElectionReleaseOnCancel: true,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Pod{}:                {Label: labels.NewSelector().Add(*ours)},
				&appsv1.Deployment{}:         {Label: labels.NewSelector().Add(*ours)},
				&discoveryv1.EndpointSlice{}: {Label: labels.NewSelector().Add(*others)},
				&corev1.ConfigMap{}:          {Namespaces: map[string]cache.Config{serving.SystemNamespace: {}}},
			},
		},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ServiceAccount{}}}},
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	return nil
}

// assemble puts the rooms together.
func (c *controlPlane) assemble(ctx context.Context) error {
	var keeper identity.Keeper = fileKeeper{c.CAFile}
	if c.CAFile == "" {
		keeper = secretKeeper{kube: c.kube, namespace: systemNamespaces[0], name: "ebb-ca"}
	}
	var err error
	if c.ca, err = identity.OpenCA(ctx, c.TrustDomain, keeper, time.Now, c.Log); err != nil {
		return err
	}
	c.configs = newConfigs(c.ClusterDomain, c.Log)
	c.scaling = &scaling{signal: signal.New(time.Now(), 0), now: time.Now}
	service := &node{trustDomain: c.TrustDomain}
	c.plane = xds.New(ctx, xds.Options{
		TrustDomain: c.TrustDomain, DNS: c.DNS, Listeners: c.listeners(), CA: c.ca, Reviewer: reviewer{c.kube},
		Accounts: identity.DefaultAccounts(), Autoscaler: c.scaling, Hold: c.holdSettings(), Node: service,
		OnRefused: c.refused, Log: c.Log,
	})
	drains := drain.New(c.plane.Store, c.plane.Gateways, c.plane.Loads, c.plane.Hold, time.Now, c.Log)
	c.watcher = watch.New(c.plane.Store, c.Log)
	c.watcher.Serves = func(ingress *networkingv1alpha1.Ingress) bool {
		return c.configs.Current().Network.ServesIngressClass(ingressClass(ingress, c.configs.Current()))
	}
	service.watcher, service.drainer, service.store = c.watcher, drains, c.plane.Store
	c.scaling.store, c.scaling.drainer = c.plane.Store, drains
	c.scaling.targets = target.New(c.kube, c.manager.GetClient(), drainer{drains}, c.scaling.counts, time.Now, c.Log)
	c.scaling.engine = scale.New(scale.Config{
		Demand: c.scaling.signal, Replicas: c.scaling.targets, Scaler: c.scaling.targets, Downscaler: c.scaling.targets,
		Sleeper: c.scaling.targets, Status: c.scaling.targets, Autoscaler: *c.configs.Current().Autoscaler, Logger: c.Log,
	})
	c.watcher.OnReplica = func(revision model.Key) { c.scaling.engine.Changed(revisionOf(revision)) }
	c.configs.OnChange(func(set *config.Set) { c.scaling.engine.SetConfig(*set.Autoscaler) })
	if err := c.setupServing(); err != nil {
		return err
	}
	c.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), c.scaling.engine)
	c.registry.MustRegister(c.plane.Hold.Collectors()...)
	return nil
}

func (c *controlPlane) holdSettings() hold.Settings {
	settings := hold.DefaultSettings()
	settings.Log = c.Log
	return settings
}

// listeners are those of every gateway.
func (c *controlPlane) listeners() []envoy.GatewayListener {
	var out []envoy.GatewayListener
	if len(c.External) > 0 || c.ExternalPipe != "" {
		out = append(out, envoy.GatewayListener{Config: model.External, Addresses: c.External, Pipe: c.ExternalPipe})
	}
	if len(c.Internal) > 0 {
		out = append(out, envoy.GatewayListener{Config: model.Internal, Addresses: c.Internal})
	}
	return out
}

// refused tells a proxy's refusal where the user of the object looks.
func (c *controlPlane) refused(r xdscache.Refusal) {
	object := &corev1.ObjectReference{Kind: r.Owner.Kind, Namespace: r.Owner.Key.Namespace, Name: r.Owner.Key.Name}
	c.manager.GetEventRecorderFor("ebb-gateway").Event(object, corev1.EventTypeWarning, "RefusedByEnvoy", r.Error())
}

// serve runs everything: first the world is read whole, then proxies are answered.
func (c *controlPlane) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run := func(what string, f func() error) {
		go func() {
			if err := f(); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		}()
	}
	if err := c.publishTrust(ctx); err != nil {
		return err
	}
	if c.DebugListen != "" {
		listener, err := listen(ctx, c.DebugListen)
		if err != nil {
			return err
		}
		run("debug", func() error {
			return serveHTTP(ctx, listener, debug(c.registry, c.plane, c.scaling.engine, c.readiness))
		})
	}
	// Admission is up before any reconciler writes.
	webhooks, err := listen(ctx, c.WebhookListen)
	if err != nil {
		return err
	}
	hooks := &webhookServer{ca: c.ca, trustDomain: c.TrustDomain, names: c.webhookNames()}
	run("admission", func() error {
		return hooks.serve(ctx, webhooks, admission.NewHandler(c.configs.Current, c.Log))
	})
	if err := registerWebhooks(ctx, c.uncached(), endpoint(c.ca, c.WebhookService, webhooks.Addr())); err != nil {
		return err
	}
	informers := c.manager.GetCache().(ourCache).Cache
	run("caches", func() error { return informers.Start(ctx) })
	if err := errors.Join(c.configs.watch(ctx, informers), c.watcher.Start(ctx, informers)); err != nil {
		return err
	}
	run("autoscaler", func() error { return c.scaling.engine.Run(ctx) })
	go c.scaling.touch(ctx)
	if err := c.scaling.targets.Watch(ctx, informers, c.scaling.engine); err != nil {
		return err
	}
	listener, err := listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	run("xds", func() error { return c.plane.Serve(ctx, listener) })
	run("reconcilers", func() error { return c.manager.Start(ctx) })
	c.ready.Store(true)
	c.Log.Info("control plane ready", "listen", c.Listen)
	<-ctx.Done()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

var errStarting = errors.New("the world is not read yet")

func (c *controlPlane) readiness() error {
	if !c.ready.Load() {
		return errStarting
	}
	return nil
}

func (c *controlPlane) webhookNames() []string {
	if c.WebhookService == "" {
		return []string{localWebhook}
	}
	return []string{c.WebhookService + "." + systemNamespaces[0] + ".svc"}
}

func (c *controlPlane) uncached() client.Client {
	direct, err := client.New(c.config, client.Options{Scheme: c.manager.GetScheme()})
	if err != nil {
		panic(err) // the same configuration has made a client before
	}
	return direct
}

// publishTrust writes the roots where agents begin with them.
func (c *controlPlane) publishTrust(ctx context.Context) error {
	roots, _ := c.ca.Roots()
	var data []byte
	for _, root := range roots {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})...)
	}
	if c.TrustFile != "" {
		if err := writeWhole(c.TrustFile, data, 0o644); err != nil {
			return fmt.Errorf("write the roots: %w", err)
		}
		return nil
	}
	return trustConfigMap(ctx, c.uncached(), string(data))
}

func removeSocket(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clear %s: %w", path, err)
	}
	return nil
}

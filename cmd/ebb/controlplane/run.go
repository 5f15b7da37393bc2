package controlplane

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
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
	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/crds"
	"ebb.dev/ebb/crds/admission"
	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/config"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	knative "ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/serving"
	"ebb.dev/ebb/serving/settings"
	"ebb.dev/ebb/xds"
	xdscache "ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/drain"
	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/phases"
	"ebb.dev/ebb/xds/watch"
)

// controlPlane is one run.
type controlPlane struct {
	Options
	config   *rest.Config
	kube     kubernetes.Interface
	manager  manager.Manager
	settings *settings.Store
	ca       *identity.CA
	scaling  *scaling
	plane    *xds.Plane
	watcher  *watch.Watcher
	// imagesChanged gets a word when the local image store has changed.
	imagesChanged chan struct{}
	// injected is what sidecars are told.
	injected injected
	// makeImage makes the image of sidecars if there is none; nil where it comes from elsewhere.
	makeImage func(context.Context) error
	// trust writes what agents begin with.
	trust *trustKeeper
	// pulling is set once that image is being unpacked ahead of its first pod.
	pulling  atomic.Bool
	ready    atomic.Bool
	registry *prometheus.Registry
	phases   *phases.Recorder
	writes   *writes
}

// Run serves until the context ends.
func Run(ctx context.Context, o Options) error {
	c := &controlPlane{
		Options: o, registry: prometheus.NewRegistry(), imagesChanged: make(chan struct{}, 1),
		phases: phases.New(time.Now, o.Log), writes: newWrites(),
	}
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
	c.config.Wrap(c.writes.count)
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
	others, err := labels.NewRequirement(knative.RevisionLabelKey, selection.DoesNotExist, nil)
	if err != nil {
		return err
	}
	objects := serving.CacheByObject()
	// A revision's EndpointSlices are for others: its replicas are known from its pods.
	objects[&discoveryv1.EndpointSlice{}] = cache.ByObject{Label: labels.NewSelector().Add(*others)}
	log.SetLogger(logrOf(c.Log))
	c.manager, err = ctrl.NewManager(c.config, manager.Options{
		Scheme: scheme, Logger: logrOf(c.Log), NewCache: startedByUs,
		Metrics:          server.Options{BindAddress: "0"},
		LeaderElection:   c.LeaderElect,
		LeaderElectionID: "ebb-control-plane", LeaderElectionNamespace: systemNamespaces[0],
		LeaderElectionReleaseOnCancel: true,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject:         objects,
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
	if c.settings, err = settings.NewStore(c.manager, c.ClusterDomain, c.Log); err != nil {
		return err
	}
	c.scaling = &scaling{signal: signal.New(time.Now(), 0), now: time.Now}
	service := &node{trustDomain: c.TrustDomain, deleted: c.podDeleted}
	c.plane = xds.New(ctx, xds.Options{
		TrustDomain: c.TrustDomain, DNS: c.DNS, Listeners: c.listeners(), CA: c.ca, Reviewer: reviewer{c.kube},
		Accounts: identity.DefaultAccounts(), Autoscaler: c.scaling, Hold: c.holdSettings(), Node: service,
		Backlogs: &backlogs{trustDomain: c.TrustDomain, scaling: c.scaling},
		Phases:   c.phases, OnRefused: c.refused, Log: c.Log,
	})
	drains := drain.New(c.plane.Store, c.plane.Gateways, c.plane.Loads, c.plane.Hold, time.Now, c.Log)
	c.watcher = watch.New(c.plane.Store, c.Log)
	c.watcher.Serves = func(ingress *networkingv1alpha1.Ingress) bool {
		set := c.configs()
		return set.Network.ServesIngressClass(ingressClass(ingress, set))
	}
	service.watcher, service.drainer, service.store = c.watcher, drains, c.plane.Store
	c.scaling.store, c.scaling.drainer = c.plane.Store, drains
	c.scaling.targets = target.New(c.kube, c.manager.GetClient(), drainer{drains}, c.scaling.counts, time.Now, c.Log)
	c.scaling.engine = scale.New(scale.Config{
		Demand: c.scaling.signal, Replicas: c.scaling.targets, Scaler: timed{c.scaling.targets, c.phases}, Downscaler: c.scaling.targets,
		Sleeper: c.scaling.targets, Status: c.scaling.targets, Autoscaler: autoscaling.DefaultConfig(), Logger: c.Log,
		OnDecision: timed{phases: c.phases}.decidedThen(c.scaling.decided),
	})
	c.watcher.OnReplica = func(revision model.Key) { c.scaling.engine.Changed(revisionOf(revision)) }
	if err := c.findSidecar(ctx); err != nil {
		return err
	}
	if err := c.setupServing(); err != nil {
		return err
	}
	if err := c.setupTrust(ctx); err != nil {
		return err
	}
	c.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), c.scaling.engine)
	c.registry.MustRegister(c.plane.Hold.Collectors()...)
	c.registry.MustRegister(c.phases.Collectors()...)
	c.registry.MustRegister(c.writes.total)
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
	c.manager.GetEventRecorder("ebb-gateway").Eventf(object, nil, corev1.EventTypeWarning, "RefusedByEnvoy", "Program", "%s", r.Error())
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
	_, newRoots := c.ca.Roots()
	if err := c.publishTrust(ctx); err != nil {
		return err
	}
	if c.DebugListen != "" {
		listener, err := serve.Listen(ctx, c.DebugListen)
		if err != nil {
			return err
		}
		run("debug", func() error {
			return serve.HTTP(ctx, listener, debug(c.registry, c.plane, c.scaling.engine, c.phases, c.readiness), serve.Options{})
		})
	}
	// Admission is up before any reconciler writes.
	webhooks, err := listenAgain(ctx, c.uncached(), c.WebhookListen)
	if err != nil {
		return err
	}
	hooks := &webhookServer{ca: c.ca, trustDomain: c.TrustDomain, names: c.webhookNames()}
	run("admission", func() error {
		return hooks.serve(ctx, webhooks, admission.NewHandler(c.configs, c.Log))
	})
	// It is told again of each new root, long before that signs: what the API server does not believe would end every write.
	register := func(ctx context.Context) error {
		return registerWebhooks(ctx, c.uncached(), endpoint(c.ca, c.WebhookService, webhooks.Addr()))
	}
	if err := register(ctx); err != nil {
		return err
	}
	tell := register
	if c.TrustFile != "" { // ConfigMaps follow with those of sidecars
		tell = func(ctx context.Context) error { return errors.Join(c.publishTrust(ctx), register(ctx)) }
	}
	go followRoots(ctx, c.ca, newRoots, c.Log, tell)
	informers := c.manager.GetCache().(ourCache).Cache
	run("caches", func() error { return informers.Start(ctx) })
	run("reconcilers", func() error { return c.manager.Start(ctx) })
	if err := c.watcher.Start(ctx, informers); err != nil {
		return err
	}
	set, err := c.settings.Get(ctx)
	if err != nil {
		return err
	}
	c.scaling.engine.SetConfig(*set.Autoscaler)
	go c.followSettings(ctx)
	run("autoscaler", func() error { return c.scaling.engine.Run(ctx) })
	go c.scaling.touch(ctx)
	if c.Images != "" {
		run("images", func() error { return watchImages(ctx, c.Images, c.imagesChanged) })
	}
	if err := c.scaling.targets.Watch(ctx, informers, c.scaling.engine); err != nil {
		return err
	}
	listener, err := listenAll(ctx, c.Listen)
	if err != nil {
		return err
	}
	run("xds", func() error { return c.plane.Serve(ctx, listener) })
	c.ready.Store(true)
	c.Log.Info("control plane ready", "listen", c.Listen)
	<-ctx.Done()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// settingsWait bounds the wait for settings that are being read.
const settingsWait = 2 * time.Second

// configs is the settings in force; until they were read, the built-in ones.
func (c *controlPlane) configs() *config.Set {
	ctx, cancel := context.WithTimeout(context.Background(), settingsWait)
	defer cancel()
	set, err := c.settings.Get(ctx)
	if err != nil {
		return config.NewSet(c.ClusterDomain)
	}
	return set
}

// followSettings hands the autoscaler what changed.
func (c *controlPlane) followSettings(ctx context.Context) {
	changes := c.settings.Changes(autoscaling.ConfigName, config.DeploymentName)
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			c.scaling.engine.SetConfig(*c.configs().Autoscaler)
		}
	}
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
	if c.TrustFile != "" {
		if err := writeWhole(c.TrustFile, c.ca.RootsPEM(), 0o644); err != nil {
			return fmt.Errorf("write the roots: %w", err)
		}
		return nil
	}
	for _, namespace := range agentNamespaces {
		if err := c.trust.write(ctx, namespace); err != nil {
			return err
		}
	}
	return nil
}

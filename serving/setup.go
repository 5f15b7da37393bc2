package serving

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"ebb.dev/ebb/crds/config"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/configuration"
	"ebb.dev/ebb/serving/digest"
	"ebb.dev/ebb/serving/gc"
	"ebb.dev/ebb/serving/index"
	"ebb.dev/ebb/serving/ingress"
	"ebb.dev/ebb/serving/labeler"
	"ebb.dev/ebb/serving/readyourwrites"
	"ebb.dev/ebb/serving/revision"
	"ebb.dev/ebb/serving/route"
	"ebb.dev/ebb/serving/service"
	"ebb.dev/ebb/serving/settings"
	"ebb.dev/ebb/serving/status"
	"ebb.dev/ebb/serving/workload"
)

// What the reconcilers need of others, under the names of this room.
type (
	// ImageResolver finds what an image name stands for.
	ImageResolver = digest.Resolver
	// ResolveRequest is what an ImageResolver is asked.
	ResolveRequest = digest.Request
	// Gateways are the Envoys that requests come in through.
	Gateways = ingress.Gateways
	// ReplicaProxy is where a replica's Envoy runs: NodeProxy or SidecarProxy.
	ReplicaProxy = workload.ReplicaProxy
)

// Where a replica's Envoy runs, and the key of the annotation and label that say so.
const (
	NodeProxy       = workload.NodeProxy
	SidecarProxy    = workload.SidecarProxy
	ReplicaProxyKey = workload.ReplicaProxyKey
)

// DefaultConcurrency is how many objects of a kind are reconciled at once.
const DefaultConcurrency = 8

// Options are what the room needs of its surroundings.
type Options struct {
	// Settings are the ConfigMaps; nil watches them through the manager's cache.
	Settings *settings.Store
	// ClusterDomain is the cluster's own, "" is cluster.local. It counts only where Settings is nil.
	ClusterDomain string

	// Images looks up what image names stand for. ImagesChanged, if not nil, gets a word whenever the local store has changed:
	// what could not be had is looked up again at once.
	Images        ImageResolver
	ImagesChanged <-chan struct{}

	// Gateways serve KIngresses.
	Gateways Gateways
	// PublicGatewayHost and InternalGatewayHost are where gateways take requests from outside and from inside, as hosts of the
	// cluster's DNS, such as ebb-gateway-internal.ebb-system.svc.cluster.local.
	PublicGatewayHost   string
	InternalGatewayHost string
	// ExternalPort is the port in URLs for clients outside; 0 is the scheme's own.
	ExternalPort int32

	// DefaultReplicaProxy is where the Envoy of a replica runs if neither its revision nor its namespace says.
	DefaultReplicaProxy ReplicaProxy
	// PreStop returns what the containers of a replica behind a node's Envoy wait for before they are stopped; nil, or a nil result,
	// is nothing. It must be pure.
	PreStop func(*servingv1.Revision) *corev1.LifecycleHandler
	// Sidecar adds the Envoy's container to a pod whose Envoy is a sidecar; workload.SidecarResources says how large it is. It must be pure.
	Sidecar func(*corev1.PodSpec, *servingv1.Revision, *config.Set)

	// Coalesce is how long a status that is not final must last to be written; 0 is 250 ms. It is longer while many are on their way.
	Coalesce time.Duration
	// MaxConcurrentReconciles is for each kind; 0 is DefaultConcurrency.
	MaxConcurrentReconciles int
	// Clock is time; nil is the system's. Log takes what happens; nil is slog's default.
	Clock clock.PassiveClock
	Log   *slog.Logger
}

func (o *Options) complete(mgr manager.Manager) error {
	if o.Images == nil || o.Gateways == nil {
		return errors.New("serving: Options.Images and Options.Gateways must be set")
	}
	if o.DefaultReplicaProxy != NodeProxy && o.DefaultReplicaProxy != SidecarProxy {
		return fmt.Errorf("serving: Options.DefaultReplicaProxy is %q, must be %q or %q", o.DefaultReplicaProxy, NodeProxy, SidecarProxy)
	}
	if o.InternalGatewayHost == "" || o.PublicGatewayHost == "" {
		return errors.New("serving: Options.InternalGatewayHost and Options.PublicGatewayHost must be set")
	}
	if o.MaxConcurrentReconciles == 0 {
		o.MaxConcurrentReconciles = DefaultConcurrency
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.ClusterDomain == "" {
		o.ClusterDomain = "cluster.local"
	}
	if o.Settings == nil {
		store, err := settings.NewStore(mgr, o.ClusterDomain, o.Log)
		if err != nil {
			return err
		}
		o.Settings = store
	}
	return nil
}

// Setup adds every reconciler of the room to mgr, whose scheme has the kinds of crds and whose cache keeps to CacheByObject.
// It must be called before mgr starts.
func Setup(mgr manager.Manager, o Options) error {
	if err := o.complete(mgr); err != nil {
		return err
	}
	if err := index.Add(context.Background(), mgr.GetFieldIndexer()); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	images := digest.NewBackground(o.Images, o.Clock, o.Log)
	for _, r := range []manager.RunnableFunc{images.Start, retry(images, o.ImagesChanged)} {
		if err := mgr.Add(r); err != nil {
			return fmt.Errorf("serving: %w", err)
		}
	}
	s := surroundings{mgr: mgr, Options: o, client: readyourwrites.New(mgr.GetClient(), o.Clock), backlog: &status.Backlog{}}
	for _, r := range s.reconcilers(images) {
		if err := r.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: o.MaxConcurrentReconciles}); err != nil {
			return fmt.Errorf("serving: %w", err)
		}
	}
	return nil
}

// retry looks failed images up again when the local store has changed.
func retry(images *digest.Background, changed <-chan struct{}) manager.RunnableFunc {
	return func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case _, open := <-changed:
				if !open {
					return nil
				}
				images.Retry()
			}
		}
	}
}

// reconciler is one of the room's.
type reconciler interface {
	SetupWithManager(manager.Manager, controller.Options) error
}

// surroundings make what reconcilers share and what each has of its own.
type surroundings struct {
	Options
	mgr     manager.Manager
	client  *readyourwrites.Client
	backlog *status.Backlog
}

func (s surroundings) reconcilers(images *digest.Background) []reconciler {
	return []reconciler{
		&service.Reconciler{Apply: s.apply("service-controller"), Status: s.status(), Settings: s.Settings, Clock: s.Clock},
		&configuration.Reconciler{Apply: s.apply("configuration-controller"), Status: s.status(), Settings: s.Settings, Clock: s.Clock},
		&revision.Reconciler{
			Apply: s.apply("revision-controller"), Status: s.status(), Settings: s.Settings, Clock: s.Clock, Images: images,
			Proxy: s.DefaultReplicaProxy, PreStop: s.PreStop, Sidecar: s.Sidecar,
		},
		&route.Reconciler{
			Apply: s.apply("route-controller"), Status: s.status(), Settings: s.Settings, Clock: s.Clock,
			Gateway: s.InternalGatewayHost, ExternalPort: s.ExternalPort,
		},
		&labeler.Reconciler{Apply: s.apply("labeler-controller"), Clock: s.Clock},
		&gc.Reconciler{Apply: s.apply("revision-gc-controller"), Settings: s.Settings, Clock: s.Clock},
		&ingress.Reconciler{
			Apply: s.apply("ingress-controller"), Status: s.status(), Settings: s.Settings, Clock: s.Clock, Gateways: s.Gateways,
			Addresses: ingress.Addresses{Public: s.PublicGatewayHost, Private: s.InternalGatewayHost},
		},
	}
}

func (s surroundings) apply(name string) *apply.Applier {
	return &apply.Applier{
		Client: s.client, Live: s.mgr.GetAPIReader(), Events: s.mgr.GetEventRecorder(name), Log: s.Log.With("controller", name),
	}
}

func (s surroundings) status() *status.Writer {
	return status.NewWriter(s.client, s.Clock, s.Coalesce, s.backlog)
}

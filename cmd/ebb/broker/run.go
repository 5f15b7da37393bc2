package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/crds"
	"ebb.dev/ebb/eventing/async"
	brokers "ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/eventtype"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/flow"
	"ebb.dev/ebb/eventing/graph"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/log/jetstream"
	"ebb.dev/ebb/eventing/log/placed"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/reach"
	"ebb.dev/ebb/eventing/requestreply"
	sink "ebb.dev/ebb/eventing/sink/kafka"
	source "ebb.dev/ebb/eventing/source/kafka"
	"ebb.dev/ebb/eventing/source/schedule"
	"ebb.dev/ebb/eventing/source/timed"
	"ebb.dev/ebb/eventing/trace"
)

// process is everything that one `ebb broker` is.
type process struct {
	Options
	config   *rest.Config
	manager  manager.Manager
	registry *prometheus.Registry
	// log is the process's own, placed that and all others as one.
	log        *jetstream.Log
	placed     *placed.Log
	streams    *ingress.Registry
	sender     *send.Sender
	dispatcher *dispatch.Dispatcher
	ingress    *ingress.Handler
	reach      *reach.Reach
	runner     *schedule.Runner
	// kafkaRunner and kafkaTopics are those of KafkaSources and KafkaSinks.
	kafkaRunner *source.Runner
	kafkaTopics *sink.Topics
	features    *features
	notes       *eventtype.Notes
	accounts    *identity.Accounts
	tokens      *identity.Tokens
	keys        *keyring
	policies    *policy.Reader
	guard       *policy.Guard
	hosted      []hosted
	later       atomic.Pointer[async.Engine]
	replies     *requestreply.Handler
	tracer      trace.Tracer
	senders     graph.Senders
	// expected is closed once streams has been told what is to come.
	expected chan struct{}
	ready    atomic.Bool
}

// Run serves until the context ends.
func Run(ctx context.Context, o Options) error {
	p := &process{Options: o, registry: prometheus.NewRegistry(), streams: &ingress.Registry{}, expected: make(chan struct{})}
	go fit(ctx)
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := p.connect(); err != nil {
		return err
	}
	var err error
	p.log, err = jetstream.Open(ctx, jetstream.Options{Dir: o.Dir, URL: o.URL, Relaxed: o.Relaxed, Metrics: p.registry, Logger: o.Log})
	if err != nil {
		return err
	}
	defer func() {
		if err := p.log.Close(); err != nil {
			o.Log.Error("event log not closed", "error", err)
		}
	}()
	p.placed = p.everywhere()
	defer p.placed.Close()
	if err := p.assemble(ctx); err != nil {
		return err
	}
	err = p.serve(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // told to end while it was starting
	}
	return err
}

// connect reaches the API and makes a manager that caches only what is used.
func (p *process) connect() error {
	var err error
	if p.config, err = clientcmd.BuildConfigFromFlags("", p.Kubeconfig); err != nil {
		return fmt.Errorf("kubeconfig %q: %w", p.Kubeconfig, err)
	}
	p.config.UserAgent = "ebb-broker"
	p.config.QPS, p.config.Burst = -1, -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, crds.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("make the scheme: %w", err)
		}
	}
	ours, err := labels.Parse(identity.LabelKey)
	if err != nil {
		return fmt.Errorf("select ServiceAccounts: %w", err)
	}
	log.SetLogger(logr.FromSlogHandler(p.Log.Handler()))
	p.manager, err = ctrl.NewManager(p.config, manager.Options{
		Scheme: scheme, Logger: logr.FromSlogHandler(p.Log.Handler()), Metrics: server.Options{BindAddress: "0"},
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject:         map[client.Object]cache.ByObject{&corev1.ServiceAccount{}: {Label: ours}},
		},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{
			&discoveryv1.EndpointSlice{}, &corev1.Secret{}, &admissionv1.MutatingAdmissionPolicy{}, &admissionv1.MutatingAdmissionPolicyBinding{},
		}}},
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	p.keys = newKeyring(p.manager.GetClient(), clock.RealClock{})
	return nil
}

// assemble puts the rooms together.
func (p *process) assemble(ctx context.Context) error {
	if err := p.prepare(ctx); err != nil {
		return err
	}
	c := p.manager.GetClient()
	p.reach = &reach.Reach{Client: c, Gateway: p.GatewayHost, ClusterDomain: p.ClusterDomain, Domain: p.Domain}
	p.sender = send.New(send.Options{
		Route: through(p.Gateway, p.ClusterDomain), Identity: proofs{p},
		Missing: func(host string, at time.Time) bool { return p.reach.Missing(ctx, host, at) },
	})
	p.ingress = ingress.New(ingress.Options{
		Log: p.noting(p.placed), Streams: p.streams, Metrics: p.registry, Logger: p.Log, Tracer: &p.tracer, Senders: &p.senders,
	})
	p.dispatcher = dispatch.New(dispatch.Options{
		Log: p.placed, Sender: p.sender, Accept: p.accept, MayReply: p.mayReply, Logger: p.Log, Registerer: p.registry, Tracer: &p.tracer,
	})
	resolver := &destination.Resolver{Reader: c, Mapper: p.manager.GetRESTMapper(), ClusterDomain: p.ClusterDomain}
	events := &plane{log: p.placed, readers: p.readers(), streams: p.streams, forget: p.forget}
	kafka := &settings.Reader{API: p.manager.GetAPIReader()}
	controllers := &brokers.Reconciler{
		Client: c, Handed: handed.New(events), Exposer: p.reach, Resolver: resolver, Kafka: kafka, Placer: p.placed, Policies: p.policies, Accounts: p.accounts,
		ClusterDomain: p.ClusterDomain, Clock: clock.RealClock{},
	}
	flows := &flow.Reconciler{
		Client: c, Handed: handed.New(events), NATS: handed.New(events), Exposer: p.reach, Resolver: resolver, Policies: p.policies, Accounts: p.accounts,
		Kafka:         &flow.Kafka{Handed: handed.New(events), Settings: kafka, Placer: p.placed},
		ClusterDomain: p.ClusterDomain, Gateway: p.GatewayHost, Clock: clock.RealClock{},
	}
	p.runner = schedule.NewRunner(ctx, p.send, clock.RealClock{}, p.Log)
	sources := &timed.Reconciler{Client: c, Resolver: resolver, Exposer: p.reach, Runner: p.runner, Accounts: p.accounts, Clock: clock.RealClock{}}
	return errors.Join(controllers.Setup(ctx, p.manager), flows.Setup(ctx, p.manager), sources.Setup(p.manager),
		p.sources(resolver, events), p.kafkaSources(resolver, kafka), p.requestReplies(ctx))
}

// sendTimeout bounds one attempt of a source.
const sendTimeout = time.Minute

// send carries a source's event to its sink.
func (p *process) send(ctx context.Context, job schedule.Job, e event.Event) error {
	answer := p.sender.Send(ctx, send.Request{Event: &e, To: job.Sink, As: job.As, Timeout: sendTimeout})
	if answer.Err != nil {
		return answer.Err
	}
	if answer.Status < 200 || answer.Status > 299 {
		return fmt.Errorf("%s answered %d: %s", job.Sink.URL, answer.Status, answer.Text)
	}
	return nil
}

// httpOptions are how the process answers: clients may speak HTTP/2 without TLS, and requests under way may be finished once it is to end.
var httpOptions = serve.Options{Grace: 5 * time.Second, PlainHTTP2: true}

// serve runs everything until the context ends: first the ingress closes, then what is in flight is waited for.
func (p *process) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	defer group.Wait()
	run := func(what string, f func() error) {
		group.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	defer p.runner.Close()
	defer p.closeKafka()
	if p.DebugListen != "" {
		listener, err := serve.Listen(ctx, p.DebugListen)
		if err != nil {
			return err
		}
		run("debug", func() error { return serve.HTTP(ctx, listener, p.debug(), httpOptions) })
	}
	listener, err := serve.Listen(ctx, p.Listen)
	if err != nil {
		return err
	}
	run("dispatcher", func() error { return p.dispatcher.Run(ctx) })
	run("controllers", func() error { return p.manager.Start(ctx) })
	if !p.manager.GetCache().WaitForCacheSync(ctx) {
		return context.Cause(ctx)
	}
	if err := p.expect(ctx); err != nil {
		return err
	}
	front, err := p.withAsync(ctx, p.guarded(p.byHost(p.ingress)), run)
	if err != nil {
		return err
	}
	run("request-reply", func() error {
		<-ctx.Done()
		p.replies.Waiting.Close()
		return nil
	})
	run("ingress", func() error { return serve.HTTP(ctx, listener, front, httpOptions) })
	run("tracing", func() error { return p.trace(ctx) })
	if p.ControlPlane != "" {
		run("autoscaler", func() error { return p.tellBacklogs(ctx) })
	}
	run("sweep", func() error { return p.sweep(ctx) })
	if err := p.announce(ctx, listener.Addr()); err != nil {
		return err
	}
	p.ready.Store(true)
	p.Log.Info("broker ready", "listen", p.Listen, "log", p.Dir+p.URL, "durable", !p.Relaxed)
	<-ctx.Done()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// announce tells the API where the ingress is.
func (p *process) announce(ctx context.Context, at net.Addr) error {
	var port int32
	if p.Advertise != "" {
		if _, err := netip.ParseAddr(p.Advertise); err != nil {
			return fmt.Errorf("--advertise %q is no address: %w", p.Advertise, err)
		}
		_, text, err := net.SplitHostPort(at.String())
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		number, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		port = int32(number)
	}
	if err := p.reach.Announce(ctx, p.Advertise, port); err != nil {
		return fmt.Errorf("announce the ingress in %s: %w", exposure.Namespace, err)
	}
	return nil
}

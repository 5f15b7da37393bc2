package ingress

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/settings"
	"ebb.dev/ebb/serving/status"
)

// Gateways are the Envoys that requests come in through.
type Gateways interface {
	// Program makes the gateways serve what ingress says. It returns when every gateway has accepted that, with nothing; when one has
	// refused it, with the reasons, each naming the host or object that it is about; or with an error if that cannot be known, ctx's
	// for example. It is called again with the same ingress, after a restart at least, and should then cost little. ingress is not kept.
	Program(ctx context.Context, ingress *networkingv1alpha1.Ingress) (refused []string, err error)
	// Forget takes from the gateways what the ingress of that name said. One they do not know is no error.
	Forget(name types.NamespacedName)
}

const (
	// DefaultProgramTimeout is how long the gateways may take to answer.
	DefaultProgramTimeout = 10 * time.Second
	// refusedRetry is how often rules that were refused are offered again: the host they want may be free by now.
	refusedRetry = 5 * time.Second
	// pendingRetry is the pause before gateways that did not answer are asked again.
	pendingRetry = time.Second
	// Concurrency is how many KIngresses may wait for the gateways at once. Waiting costs nothing.
	Concurrency = 64
)

// Reconciler hands KIngresses to gateways.
type Reconciler struct {
	Apply     *apply.Applier
	Status    *status.Writer
	Settings  *settings.Store
	Gateways  Gateways
	Addresses Addresses
	Clock     clock.PassiveClock
	// ProgramTimeout is how long the gateways may take to answer; 0 is DefaultProgramTimeout.
	ProgramTimeout time.Duration
}

// SetupWithManager starts the Reconciler with mgr.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, options controller.Options) error {
	options.MaxConcurrentReconciles = Concurrency
	changes := r.Settings.Changes(config.NetworkName)
	// A status that we wrote is no reason to ask the gateways again.
	respecified := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
	err := builder.ControllerManagedBy(mgr).Named("ebb-ingress").WithOptions(options).
		For(&networkingv1alpha1.Ingress{}, builder.WithPredicates(respecified)).
		WatchesRawSource(source.Channel(changes, handler.EnqueueRequestsFromMapFunc(r.all))).
		Complete(r)
	if err != nil {
		return fmt.Errorf("ingresses: %w", err)
	}
	return nil
}

// Reconcile looks at one KIngress.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	i, err := apply.Get(ctx, r.Apply.Client, request.Namespace, request.Name, &networkingv1alpha1.Ingress{})
	if err != nil {
		return reconcile.Result{}, err
	}
	cfg, err := r.Settings.Get(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	if i == nil || i.DeletionTimestamp != nil || !cfg.Network.ServesIngressClass(networking.IngressClass(i.Annotations)) {
		r.Gateways.Forget(request.NamespacedName)
		r.Status.Forget(request.NamespacedName)
		return reconcile.Result{}, nil
	}
	outcome := r.program(ctx, i)
	d := Decide(i, outcome, r.Addresses, r.Clock.Now())
	wanted := i.DeepCopy()
	wanted.Status = d.Status
	written, again, err := r.Status.Write(ctx, i, wanted, d.Pace)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case written:
		r.Apply.Tell(i, d.News...)
	}
	switch {
	case outcome.Err != nil:
		r.Apply.Log.Warn("gateways not programmed", "ingress", request.String(), "err", outcome.Err)
		return apply.Result(nil, again, pendingRetry)
	case len(outcome.Refused) > 0:
		return apply.Result(nil, again, refusedRetry)
	}
	return apply.Result(nil, again)
}

// program asks the gateways, with what is left out filled in.
func (r *Reconciler) program(ctx context.Context, i *networkingv1alpha1.Ingress) Outcome {
	timeout := r.ProgramTimeout
	if timeout == 0 {
		timeout = DefaultProgramTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	complete := i.DeepCopy()
	complete.SetDefaults()
	refused, err := r.Gateways.Program(ctx, complete)
	return Outcome{Refused: refused, Err: err}
}

// all asks for every KIngress: the classes that are served may be others.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	var ingresses networkingv1alpha1.IngressList
	if err := r.Apply.Client.List(ctx, &ingresses, client.UnsafeDisableDeepCopy); err != nil {
		r.Apply.Log.Error("ingresses not listed", "err", err)
		return nil
	}
	requests := make([]reconcile.Request, len(ingresses.Items))
	for n := range ingresses.Items {
		requests[n].NamespacedName = client.ObjectKeyFromObject(&ingresses.Items[n])
	}
	return requests
}

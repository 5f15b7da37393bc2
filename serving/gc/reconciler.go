package gc

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/index"
	"ebb.dev/ebb/serving/settings"
)

// Reconciler collects the Revisions of Configurations.
type Reconciler struct {
	Apply    *apply.Applier
	Settings *settings.Store
	Clock    clock.PassiveClock
}

// SetupWithManager starts the Reconciler with mgr. The indexes are there already.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, options controller.Options) error {
	changes := r.Settings.Changes(config.GCName)
	relabelled := predicate.Or(predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{})
	err := builder.ControllerManagedBy(mgr).Named("ebb-gc").WithOptions(options).
		For(&servingv1.Configuration{}).
		Owns(&servingv1.Revision{}, builder.WithPredicates(relabelled)).
		WatchesRawSource(source.Channel(changes, handler.EnqueueRequestsFromMapFunc(r.all))).
		Complete(r)
	if err != nil {
		return fmt.Errorf("garbage collection of revisions: %w", err)
	}
	return nil
}

// Reconcile looks at one Configuration.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	c, err := apply.Get(ctx, r.Apply.Client, request.Namespace, request.Name, &servingv1.Configuration{})
	if err != nil || c == nil || c.DeletionTimestamp != nil {
		return reconcile.Result{}, err
	}
	cfg, err := r.Settings.Get(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	var revisions servingv1.RevisionList
	err = r.Apply.Client.List(ctx, &revisions, client.InNamespace(c.Namespace),
		client.MatchingFields{index.RevisionsByConfiguration: c.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("Configuration %s: list its Revisions: %w", request, err)
	}
	made := slices.DeleteFunc(revisions.Items, func(rev servingv1.Revision) bool { return !metav1.IsControlledBy(&rev, c) })
	d := Decide(c, made, cfg.GC, r.Clock.Now())
	var plan apply.Plan
	for _, revision := range d.Delete {
		plan.Delete = append(plan.Delete, revision.DeepCopy())
	}
	if err := r.Apply.Apply(ctx, c, plan); err != nil || d.Next.IsZero() {
		return apply.Result(err)
	}
	return reconcile.Result{RequeueAfter: max(time.Second, d.Next.Sub(r.Clock.Now()))}, nil
}

// all asks for every Configuration: the rules have changed.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	var configurations servingv1.ConfigurationList
	if err := r.Apply.Client.List(ctx, &configurations, client.UnsafeDisableDeepCopy); err != nil {
		r.Apply.Log.Error("configurations not listed", "err", err)
		return nil
	}
	requests := make([]reconcile.Request, len(configurations.Items))
	for i := range configurations.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&configurations.Items[i])
	}
	return requests
}

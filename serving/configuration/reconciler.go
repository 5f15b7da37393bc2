package configuration

import (
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ebb.dev/ebb/crds/serving/defaulting"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/index"
	"ebb.dev/ebb/serving/naming"
	"ebb.dev/ebb/serving/settings"
	"ebb.dev/ebb/serving/status"
)

// Reconciler keeps Configurations at their latest Revision.
type Reconciler struct {
	Apply    *apply.Applier
	Status   *status.Writer
	Settings *settings.Store
	Clock    clock.PassiveClock
}

// SetupWithManager starts the Reconciler with mgr. The indexes are there already.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, options controller.Options) error {
	err := builder.ControllerManagedBy(mgr).Named("ebb-configuration").WithOptions(options).
		For(&servingv1.Configuration{}).
		Watches(&servingv1.Revision{}, handler.EnqueueRequestsFromMapFunc(r.ofRevision), builder.WithPredicates(readinessChanged())).
		Complete(r)
	if err != nil {
		return fmt.Errorf("configurations: %w", err)
	}
	return nil
}

// Reconcile looks at one Configuration.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	c := &servingv1.Configuration{}
	if err := r.Apply.Client.Get(ctx, request.NamespacedName, c); err != nil {
		r.Status.Forget(request.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if c.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	in, err := r.read(ctx, c)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("Configuration %s: %w", request, err)
	}
	d := Decide(in)
	if gone, err := r.Apply.Gone(ctx, c, c.Status.ObservedGeneration, d.Plan); gone || err != nil {
		return reconcile.Result{}, err
	}
	err = r.Apply.Apply(ctx, c, d.Plan)
	refused := apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
	if refused {
		d = Refused(in, err)
	} else if err != nil {
		return apply.Result(err)
	}
	wanted := c.DeepCopy()
	wanted.Status = d.Status
	written, again, writeErr := r.Status.Write(ctx, c, wanted, d.Pace)
	if writeErr != nil {
		return reconcile.Result{}, writeErr
	}
	if written {
		r.Apply.Tell(c, d.News...)
	}
	return apply.Result(err, again)
}

func (r *Reconciler) read(ctx context.Context, c *servingv1.Configuration) (Input, error) {
	cfg, err := r.Settings.Get(ctx)
	if err != nil {
		return Input{}, err
	}
	in := Input{
		Now: r.Clock.Now(), Defaults: defaulting.Input{Defaults: cfg.Defaults, Features: cfg.Features},
		BornAsleep: cfg.Autoscaler.InitialScale == 0,
	}
	in.Configuration = completed(c, in.Defaults)
	if in.Named, err = apply.Get(ctx, r.Apply.Client, c.Namespace, naming.Wanted(c), &servingv1.Revision{}); err != nil {
		return in, err
	}
	var revisions servingv1.RevisionList
	err = r.Apply.Client.List(ctx, &revisions, client.InNamespace(c.Namespace),
		client.MatchingFields{index.RevisionsByConfiguration: c.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return in, fmt.Errorf("list its Revisions: %w", err)
	}
	in.Revisions = slices.DeleteFunc(revisions.Items, func(rev servingv1.Revision) bool { return !metav1.IsControlledBy(&rev, c) })
	if in.Named == nil {
		in.Routes, err = r.routes(ctx, c)
	}
	return in, err
}

// routes finds the Routes that will send traffic to the Revision that is about to be made. Of a Service's Configuration the Service
// itself says so: its Route may be as new as the Configuration, and not be seen yet.
func (r *Reconciler) routes(ctx context.Context, c *servingv1.Configuration) ([]string, error) {
	found := map[string]bool{}
	for name, value := range map[string]string{index.RoutesByConfiguration: c.Name, index.RoutesByRevision: naming.Wanted(c)} {
		var routes servingv1.RouteList
		err := r.Apply.Client.List(ctx, &routes, client.InNamespace(c.Namespace), client.MatchingFields{name: value}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return nil, fmt.Errorf("list its Routes: %w", err)
		}
		for i := range routes.Items {
			if refers(routes.Items[i].Spec.Traffic, c, func(t servingv1.TrafficTarget) bool { return t.ConfigurationName == c.Name }) {
				found[routes.Items[i].Name] = true
			}
		}
	}
	if owner := metav1.GetControllerOf(c); owner != nil && owner.Kind == "Service" {
		service, err := apply.Get(ctx, r.Apply.Client, c.Namespace, owner.Name, &servingv1.Service{})
		if err != nil {
			return nil, err
		}
		if service != nil && (len(service.Spec.Traffic) == 0 || refers(service.Spec.Traffic, c, func(t servingv1.TrafficTarget) bool { return t.RevisionName == "" })) {
			found[service.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// refers reports whether traffic goes to c's next Revision, by its name or as the latest of what ours picks out.
func refers(traffic []servingv1.TrafficTarget, c *servingv1.Configuration, ours func(servingv1.TrafficTarget) bool) bool {
	return slices.ContainsFunc(traffic, func(t servingv1.TrafficTarget) bool {
		return t.RevisionName == naming.Wanted(c) || ours(t) && ptr.Deref(t.LatestRevision, true)
	})
}

// completed returns c with defaults if admission has not given it any.
func completed(c *servingv1.Configuration, in defaulting.Input) *servingv1.Configuration {
	if c.Spec.Template.Spec.TimeoutSeconds != nil {
		return c
	}
	c = c.DeepCopy()
	defaulting.Configuration(c, nil, in)
	return c
}

// ofRevision finds the Configuration that made a Revision, and those that want its name.
func (r *Reconciler) ofRevision(ctx context.Context, revision client.Object) []reconcile.Request {
	requests := map[reconcile.Request]bool{}
	add := func(name string) {
		requests[reconcile.Request{NamespacedName: client.ObjectKey{Namespace: revision.GetNamespace(), Name: name}}] = true
	}
	if owner := metav1.GetControllerOf(revision); owner != nil && owner.Kind == configurationKind.Kind {
		add(owner.Name)
	}
	var wanting servingv1.ConfigurationList
	err := r.Apply.Client.List(ctx, &wanting, client.InNamespace(revision.GetNamespace()),
		client.MatchingFields{index.ConfigurationsByRevisionName: revision.GetName()}, client.UnsafeDisableDeepCopy)
	if err != nil {
		r.Apply.Log.Error("configurations not listed", "revision", client.ObjectKeyFromObject(revision).String(), "err", err)
	}
	for i := range wanting.Items {
		add(wanting.Items[i].Name)
	}
	return slices.Collect(maps.Keys(requests))
}

// readinessChanged lets Revisions pass that are new, gone, or fare otherwise than before.
func readinessChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, is := e.ObjectOld.(*servingv1.Revision), e.ObjectNew.(*servingv1.Revision)
		a, b := was.Status.GetCondition(servingv1.RevisionConditionReady), is.Status.GetCondition(servingv1.RevisionConditionReady)
		if a == nil || b == nil {
			return a != b
		}
		return !same(a, b) || was.Status.ObservedGeneration != is.Status.ObservedGeneration
	}}
}

package route

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/crds/serving/defaulting"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/index"
	"ebb.dev/ebb/serving/naming"
	"ebb.dev/ebb/serving/rollout"
	"ebb.dev/ebb/serving/settings"
	"ebb.dev/ebb/serving/status"
)

// Reconciler keeps Routes leading where they say.
type Reconciler struct {
	Apply    *apply.Applier
	Status   *status.Writer
	Settings *settings.Store
	Clock    clock.PassiveClock
	// Gateway and ExternalPort are Input's.
	Gateway      string
	ExternalPort int32
}

// SetupWithManager starts the Reconciler with mgr. The indexes are there already.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, options controller.Options) error {
	changes := r.Settings.Changes(config.NetworkName, config.DomainName, config.FeaturesName)
	err := builder.ControllerManagedBy(mgr).Named("ebb-route").WithOptions(options).
		For(&servingv1.Route{}).
		Owns(&networkingv1alpha1.Ingress{}).
		Owns(&corev1.Service{}).
		// A Service of a Route's name that is another's stands in its way until it goes.
		Watches(&corev1.Service{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(gone())).
		Watches(&servingv1.Configuration{}, handler.EnqueueRequestsFromMapFunc(r.ofConfiguration), builder.WithPredicates(targetChanged())).
		Watches(&servingv1.Revision{}, handler.EnqueueRequestsFromMapFunc(r.ofRevision), builder.WithPredicates(targetChanged())).
		WatchesRawSource(source.Channel(changes, handler.EnqueueRequestsFromMapFunc(r.all))).
		Complete(r)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	return nil
}

// Reconcile looks at one Route.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	route := &servingv1.Route{}
	if err := r.Apply.Client.Get(ctx, request.NamespacedName, route); err != nil {
		r.Status.Forget(request.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if route.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	in, err := r.read(ctx, route)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("Route %s: %w", request, err)
	}
	d := Decide(in)
	if gone, err := r.Apply.Gone(ctx, route, route.Status.ObservedGeneration, d.Plan); gone || err != nil {
		return reconcile.Result{}, err
	}
	if err := r.Apply.Apply(ctx, route, d.Plan); err != nil {
		return apply.Result(err)
	}
	wanted := route.DeepCopy()
	wanted.Status = d.Status
	written, again, err := r.Status.Write(ctx, route, wanted, d.Pace)
	if written {
		r.Apply.Tell(route, d.News...)
	}
	if !d.Next.IsZero() {
		return apply.Result(err, again, max(1, d.Next.Sub(r.Clock.Now())))
	}
	return apply.Result(err, again)
}

func (r *Reconciler) read(ctx context.Context, route *servingv1.Route) (Input, error) {
	cfg, err := r.Settings.Get(ctx)
	if err != nil {
		return Input{}, err
	}
	in := Input{
		Route: completed(route, cfg), Config: cfg, Gateway: r.Gateway, ExternalPort: r.ExternalPort, Now: r.Clock.Now(),
		Configurations: map[string]*servingv1.Configuration{}, Revisions: map[string]*servingv1.Revision{},
	}
	for _, t := range in.Route.Spec.Traffic {
		if err := r.readTarget(ctx, in, t); err != nil {
			return in, err
		}
	}
	in.Ingress, err = apply.Get(ctx, r.Apply.Client, route.Namespace, naming.Ingress(route.Name), &networkingv1alpha1.Ingress{})
	if err != nil {
		return in, err
	}
	if err := r.readRollout(ctx, in); err != nil {
		return in, err
	}
	in.Services, err = r.services(ctx, in)
	return in, err
}

// readRollout reads the Revisions that traffic is on its way from.
func (r *Reconciler) readRollout(ctx context.Context, in Input) error {
	if in.Ingress == nil {
		return nil
	}
	state, err := rollout.Parse(in.Ingress.Annotations[networking.RolloutAnnotationKey])
	if err != nil {
		return nil // the decision meets the same error and begins anew
	}
	for _, c := range state.Configurations {
		for _, share := range c.Revisions {
			if _, err := r.readRevision(ctx, in, share.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// readTarget reads what a traffic target refers to: a Revision and its Configuration, or a Configuration and its latest Revision.
func (r *Reconciler) readTarget(ctx context.Context, in Input, t servingv1.TrafficTarget) error {
	configuration, revision := t.ConfigurationName, t.RevisionName
	if revision != "" {
		found, err := r.readRevision(ctx, in, revision)
		if err != nil || found == nil {
			return err
		}
		configuration = found.Labels[serving.ConfigurationLabelKey]
	}
	c := in.Configurations[configuration]
	if c == nil && configuration != "" {
		var err error
		c, err = apply.Get(ctx, r.Apply.Client, in.Route.Namespace, configuration, &servingv1.Configuration{})
		if err != nil {
			return err
		}
		in.Configurations[configuration] = c
	}
	if revision != "" || c == nil || c.Status.LatestReadyRevisionName == "" {
		return nil
	}
	_, err := r.readRevision(ctx, in, c.Status.LatestReadyRevisionName)
	return err
}

func (r *Reconciler) readRevision(ctx context.Context, in Input, name string) (*servingv1.Revision, error) {
	if found := in.Revisions[name]; found != nil {
		return found, nil
	}
	found, err := apply.Get(ctx, r.Apply.Client, in.Route.Namespace, name, &servingv1.Revision{})
	if err == nil && found != nil {
		in.Revisions[name] = found
	}
	return found, err
}

// services reads the Services that the Route made, and those of the names that it wants.
func (r *Reconciler) services(ctx context.Context, in Input) ([]corev1.Service, error) {
	route := in.Route
	var made corev1.ServiceList
	err := r.Apply.Client.List(ctx, &made, client.InNamespace(route.Namespace), client.MatchingFields{index.PlaceholdersByRoute: route.Name})
	if err != nil {
		return nil, fmt.Errorf("list its Services: %w", err)
	}
	all := made.Items
	names, err := Hosts(route, in.Config)
	if err != nil {
		return all, nil // the decision meets the same error and tells it
	}
	for _, name := range slices.Sorted(maps.Values(names)) {
		if slices.ContainsFunc(all, func(s corev1.Service) bool { return s.Name == name }) {
			continue
		}
		service, err := apply.Get(ctx, r.Apply.Client, route.Namespace, name, &corev1.Service{})
		if err != nil {
			return nil, err
		}
		if service != nil {
			all = append(all, *service)
		}
	}
	return all, nil
}

// completed returns route with defaults if admission has not given it any.
func completed(route *servingv1.Route, cfg *config.Set) *servingv1.Route {
	if !slices.ContainsFunc(route.Spec.Traffic, func(t servingv1.TrafficTarget) bool { return t.LatestRevision == nil || t.Percent == nil }) {
		return route
	}
	route = route.DeepCopy()
	defaulting.Route(route, nil, defaulting.Input{Defaults: cfg.Defaults, Features: cfg.Features})
	return route
}

// all asks for every Route: a setting has changed.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.list(ctx)
}

func (r *Reconciler) ofConfiguration(ctx context.Context, c client.Object) []reconcile.Request {
	return r.list(ctx, client.InNamespace(c.GetNamespace()), client.MatchingFields{index.RoutesByConfiguration: c.GetName()})
}

func (r *Reconciler) ofRevision(ctx context.Context, revision client.Object) []reconcile.Request {
	requests := r.list(ctx, client.InNamespace(revision.GetNamespace()), client.MatchingFields{index.RoutesByRevision: revision.GetName()})
	if c := revision.GetLabels()[serving.ConfigurationLabelKey]; c != "" {
		requests = append(requests, r.list(ctx, client.InNamespace(revision.GetNamespace()), client.MatchingFields{index.RoutesByConfiguration: c})...)
	}
	return requests
}

func (r *Reconciler) list(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	var routes servingv1.RouteList
	if err := r.Apply.Client.List(ctx, &routes, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		r.Apply.Log.Error("routes not listed", "err", err)
		return nil
	}
	requests := make([]reconcile.Request, len(routes.Items))
	for i := range routes.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&routes.Items[i])
	}
	return requests
}

// targetChanged lets Configurations and Revisions pass of which a Route may think otherwise than before.
func targetChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return viewOf(e.ObjectOld) != viewOf(e.ObjectNew) }}
}

// view is what a Route sees of a target.
type view struct {
	generation, observed int64
	ready                string
	latestReady          string
}

func viewOf(o client.Object) view {
	v := view{generation: o.GetGeneration()}
	var ready *conditions.Condition
	switch o := o.(type) {
	case *servingv1.Configuration:
		ready, v.observed = o.Status.GetCondition(servingv1.ConfigurationConditionReady), o.Status.ObservedGeneration
		v.latestReady = o.Status.LatestReadyRevisionName
	case *servingv1.Revision:
		ready, v.observed = o.Status.GetCondition(servingv1.RevisionConditionReady), o.Status.ObservedGeneration
	}
	if ready != nil {
		v.ready = string(ready.Status)
	}
	return v
}

// gone lets objects pass that have been deleted.
func gone() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

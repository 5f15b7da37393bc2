package labeler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/index"
	"ebb.dev/ebb/serving/naming"
)

// goneGrace is how long a Route must have been gone before its name is taken off. Mostly what names it goes with it.
const goneGrace = 2 * time.Second

// Reconciler keeps Revisions and Configurations labelled with the Routes that refer to them.
type Reconciler struct {
	Apply *apply.Applier
	Clock clock.PassiveClock

	mu   sync.Mutex
	gone map[client.ObjectKey]time.Time
}

// SetupWithManager starts the Reconciler with mgr. The indexes are there already.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, options controller.Options) error {
	r.gone = map[client.ObjectKey]time.Time{}
	err := builder.ControllerManagedBy(mgr).Named("ebb-labeler").WithOptions(options).
		For(&servingv1.Route{}).
		Watches(&servingv1.Configuration{}, handler.EnqueueRequestsFromMapFunc(r.ofConfiguration)).
		Watches(&servingv1.Revision{}, handler.EnqueueRequestsFromMapFunc(r.ofRevision)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("labeler: %w", err)
	}
	return nil
}

// Reconcile looks at one Route, or at what is left of it.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	route, err := apply.Get(ctx, r.Apply.Client, request.Namespace, request.Name, &servingv1.Route{})
	if err != nil {
		return reconcile.Result{}, err
	}
	in, err := r.read(ctx, request.NamespacedName, route)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("Route %s: %w", request, err)
	}
	plan := Decide(in)
	if route == nil {
		if wait := r.wait(request.NamespacedName, plan.Empty()); wait > 0 {
			return reconcile.Result{RequeueAfter: wait}, nil
		}
	} else {
		r.forget(request.NamespacedName)
	}
	for _, u := range plan.Update {
		if err := r.Apply.Apply(ctx, u.From, apply.Plan{Update: []apply.Update{u}}); err != nil {
			return apply.Result(err)
		}
	}
	return reconcile.Result{}, nil
}

// wait returns how much longer what names a Route that is gone is left alone.
func (r *Reconciler) wait(route client.ObjectKey, nothing bool) time.Duration {
	if nothing {
		r.forget(route)
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Clock.Now()
	since, found := r.gone[route]
	if !found {
		since = now
		r.gone[route] = now
	}
	return since.Add(goneGrace).Sub(now)
}

func (r *Reconciler) forget(route client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.gone, route)
}

// read gathers what the Route refers to and what names it.
func (r *Reconciler) read(ctx context.Context, name client.ObjectKey, route *servingv1.Route) (Input, error) {
	g := gatherer{
		client: r.Apply.Client, namespace: name.Namespace,
		configurations: map[string]servingv1.Configuration{}, revisions: map[string]servingv1.Revision{},
	}
	err := g.gather(ctx, name.Name, route)
	return Input{
		Name: name.Name, Route: route, Now: r.Clock.Now(),
		Configurations: sorted(g.configurations), Revisions: sorted(g.revisions),
	}, err
}

func sorted[T any](m map[string]T) []T {
	var all []T
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[name])
	}
	return all
}

// gatherer collects objects, each once.
type gatherer struct {
	client         client.Client
	namespace      string
	configurations map[string]servingv1.Configuration
	revisions      map[string]servingv1.Revision
}

func (g *gatherer) gather(ctx context.Context, name string, route *servingv1.Route) error {
	var configurations servingv1.ConfigurationList
	if err := g.list(ctx, &configurations, index.ConfigurationsByRoute, name); err != nil {
		return err
	}
	for _, c := range configurations.Items {
		g.configurations[c.Name] = c
	}
	if err := g.listRevisions(ctx, index.RevisionsByRoute, name, func(*servingv1.Revision) bool { return true }); err != nil {
		return err
	}
	if route == nil {
		return nil
	}
	for _, traffic := range [][]servingv1.TrafficTarget{route.Status.Traffic, route.Spec.Traffic} {
		for _, t := range traffic {
			if err := g.target(ctx, t); err != nil {
				return err
			}
		}
	}
	return g.rest(ctx, route)
}

// target collects what a traffic target refers to.
func (g *gatherer) target(ctx context.Context, t servingv1.TrafficTarget) error {
	configuration := t.ConfigurationName
	if t.RevisionName != "" {
		r, err := g.revision(ctx, t.RevisionName)
		if err != nil || r == nil {
			return err
		}
		if owner := metav1.GetControllerOf(r); owner != nil && owner.Kind == "Configuration" {
			configuration = owner.Name
		}
	}
	if _, known := g.configurations[configuration]; configuration != "" && !known {
		c, err := apply.Get(ctx, g.client, g.namespace, configuration, &servingv1.Configuration{})
		if err != nil || c == nil {
			return err
		}
		g.configurations[c.Name] = *c
	}
	return nil
}

func (g *gatherer) revision(ctx context.Context, name string) (*servingv1.Revision, error) {
	if r, known := g.revisions[name]; known {
		return &r, nil
	}
	r, err := apply.Get(ctx, g.client, g.namespace, name, &servingv1.Revision{})
	if err == nil && r != nil {
		g.revisions[name] = *r
	}
	return r, err
}

// rest collects the latest created Revisions of the Configurations, and those of which no routing is known yet.
func (g *gatherer) rest(ctx context.Context, route *servingv1.Route) error {
	for _, c := range sorted(g.configurations) {
		for _, name := range []string{c.Status.LatestCreatedRevisionName, naming.Wanted(&c)} {
			if name == "" {
				continue
			}
			if _, err := g.revision(ctx, name); err != nil {
				return err
			}
		}
		if !route.IsReady() && !route.IsFailed() {
			continue
		}
		pending := func(r *servingv1.Revision) bool { return r.RoutingState() == servingv1.RoutingStatePending }
		if err := g.listRevisions(ctx, index.RevisionsByConfiguration, c.Name, pending); err != nil {
			return err
		}
	}
	return nil
}

func (g *gatherer) listRevisions(ctx context.Context, field, value string, wanted func(*servingv1.Revision) bool) error {
	var revisions servingv1.RevisionList
	if err := g.list(ctx, &revisions, field, value); err != nil {
		return err
	}
	for i := range revisions.Items {
		r := &revisions.Items[i]
		if _, known := g.revisions[r.Name]; !known && wanted(r) {
			g.revisions[r.Name] = *r
		}
	}
	return nil
}

func (g *gatherer) list(ctx context.Context, into client.ObjectList, field, value string) error {
	err := g.client.List(ctx, into, client.InNamespace(g.namespace), client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list by %s: %w", field, err)
	}
	return nil
}

// ofConfiguration finds the Routes that refer to a Configuration, and those that it names.
func (r *Reconciler) ofConfiguration(ctx context.Context, c client.Object) []reconcile.Request {
	return append(r.named(c), r.listed(ctx, c.GetNamespace(), index.RoutesByConfiguration, c.GetName())...)
}

// ofRevision finds the Routes that refer to a Revision, and those that it names.
func (r *Reconciler) ofRevision(ctx context.Context, revision client.Object) []reconcile.Request {
	requests := append(r.named(revision), r.listed(ctx, revision.GetNamespace(), index.RoutesByRevision, revision.GetName())...)
	if revision.GetLabels()[serving.RoutingStateLabelKey] == string(servingv1.RoutingStatePending) {
		requests = append(requests, r.listed(ctx, revision.GetNamespace(), index.RoutesByConfiguration, revision.GetLabels()[serving.ConfigurationLabelKey])...)
	}
	return requests
}

func (r *Reconciler) named(o client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, name := range index.Routes(o) {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}})
	}
	return requests
}

func (r *Reconciler) listed(ctx context.Context, namespace, field, value string) []reconcile.Request {
	var routes servingv1.RouteList
	err := r.Apply.Client.List(ctx, &routes, client.InNamespace(namespace), client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy)
	if err != nil {
		r.Apply.Log.Error("routes not listed", "field", field, "value", value, "err", err)
		return nil
	}
	var requests []reconcile.Request
	for i := range routes.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&routes.Items[i])})
	}
	return requests
}

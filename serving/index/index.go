package index

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/naming"
)

// Index names. Each is used with client.MatchingFields, within a namespace.
const (
	// RevisionsByConfiguration finds the Revisions that a Configuration made.
	RevisionsByConfiguration = "serving.revisions.configuration"
	// RevisionsByRoute finds the Revisions whose annotation names a Route.
	RevisionsByRoute = "serving.revisions.route"
	// ConfigurationsByRoute finds the Configurations whose annotation names a Route.
	ConfigurationsByRoute = "serving.configurations.route"
	// ConfigurationsByRevisionName finds the Configurations that want a Revision of that name.
	ConfigurationsByRevisionName = "serving.configurations.revisionName"
	// RoutesByConfiguration finds the Routes that send traffic to a Configuration's latest Revision.
	RoutesByConfiguration = "serving.routes.configuration"
	// RoutesByRevision finds the Routes that name a Revision, in what they want or in what they have.
	RoutesByRevision = "serving.routes.revision"
	// PlaceholdersByRoute finds the Services that a Route made.
	PlaceholdersByRoute = "serving.placeholders.route"
	// PodsByRevision finds a Revision's pods.
	PodsByRevision = "serving.pods.revision"
)

type entry struct {
	object client.Object
	name   string
	keys   client.IndexerFunc
}

func entries() []entry {
	return []entry{
		{&servingv1.Revision{}, RevisionsByConfiguration, byLabel(serving.ConfigurationLabelKey)},
		{&servingv1.Revision{}, RevisionsByRoute, byRoutes},
		{&servingv1.Configuration{}, ConfigurationsByRoute, byRoutes},
		{&servingv1.Configuration{}, ConfigurationsByRevisionName, func(o client.Object) []string {
			return []string{naming.Wanted(o.(*servingv1.Configuration))}
		}},
		{&servingv1.Route{}, RoutesByConfiguration, func(o client.Object) []string {
			return targets(o, func(t servingv1.TrafficTarget) string { return t.ConfigurationName })
		}},
		{&servingv1.Route{}, RoutesByRevision, func(o client.Object) []string {
			return targets(o, func(t servingv1.TrafficTarget) string { return t.RevisionName })
		}},
		{&corev1.Service{}, PlaceholdersByRoute, byLabel(serving.RouteLabelKey)},
		{&corev1.Pod{}, PodsByRevision, byLabel(serving.RevisionLabelKey)},
	}
}

// Add adds every index to a cache that has not started yet.
func Add(ctx context.Context, indexer client.FieldIndexer) error {
	for _, e := range entries() {
		if err := indexer.IndexField(ctx, e.object, e.name, e.keys); err != nil {
			return fmt.Errorf("index %s: %w", e.name, err)
		}
	}
	return nil
}

// Functions returns the index functions by name, for clients that keep their own index.
func Functions() map[string]client.IndexerFunc {
	functions := map[string]client.IndexerFunc{}
	for _, e := range entries() {
		functions[e.name] = e.keys
	}
	return functions
}

func byLabel(key string) client.IndexerFunc {
	return func(o client.Object) []string { return named(o.GetLabels()[key]) }
}

func byRoutes(o client.Object) []string { return Routes(o) }

// Routes returns the names of the Routes that an object's annotation lists, sorted.
func Routes(o client.Object) []string {
	routes := map[string]bool{}
	for name := range strings.SplitSeq(o.GetAnnotations()[serving.RoutesAnnotationKey], ",") {
		if name != "" {
			routes[name] = true
		}
	}
	return slices.Sorted(maps.Keys(routes))
}

func targets(o client.Object, key func(servingv1.TrafficTarget) string) []string {
	route := o.(*servingv1.Route)
	found := map[string]bool{}
	for _, traffic := range [][]servingv1.TrafficTarget{route.Spec.Traffic, route.Status.Traffic} {
		for _, target := range traffic {
			if name := key(target); name != "" {
				found[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func named(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

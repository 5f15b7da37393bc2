package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/source"

	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/filter"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/status"
)

// lookAgain is how soon a source is looked at again that is not ready; one that is, after settled: its ServiceAccount may have lost a right.
const (
	lookAgain = 5 * time.Second
	settled   = time.Minute
)

// Exposer makes Services reachable through Envoy.
type Exposer interface {
	Subscribers(ctx context.Context, services ...types.NamespacedName) error
}

// Reconciler brings ApiServerSources about.
type Reconciler struct {
	Client   client.Client
	Mapper   meta.RESTMapper
	Resolver *destination.Resolver
	Exposer  Exposer
	Handed   *handed.Memory
	Adapter  *Adapter
	// Accounts makes as whom they send; nil makes nobody.
	Accounts *identity.Accounts
	// Host is the API server, which is what events give as their source.
	Host  string
	Clock clock.PassiveClock

	synced chan event.GenericEvent
}

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	r.synced = make(chan event.GenericEvent)
	closing := manager.RunnableFunc(func(ctx context.Context) error {
		<-ctx.Done()
		r.Adapter.Close()
		return nil
	})
	sources := ctrl.NewControllerManagedBy(m).Named("apiserversource").For(&sourcesv1.ApiServerSource{}).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.choosing), builder.OnlyMetadata).
		WatchesRawSource(source.Channel(r.synced, &handler.EnqueueRequestForObject{}))
	return errors.Join(m.Add(closing), r.Accounts.Watch(sources, &sourcesv1.ApiServerSourceList{}).Complete(enqueue.Anew(r.Reconcile)))
}

// choosing are the sources that choose namespaces, which one of them may have changed for.
func (r *Reconciler) choosing(ctx context.Context, _ client.Object) []ctrl.Request {
	return enqueue.Those(ctx, r.Client, &sourcesv1.ApiServerSourceList{}, func(s *sourcesv1.ApiServerSource) bool {
		return s.Spec.NamespaceSelector != nil && !all(s.Spec.NamespaceSelector)
	})
}

// Reconcile reconciles one ApiServerSource.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var s sourcesv1.ApiServerSource
	if err := r.Client.Get(ctx, request.NamespacedName, &s); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read ApiServerSource %s: %w", request, err)
	} else if err != nil || s.DeletionTimestamp != nil {
		return ctrl.Result{}, r.drop(ctx, request.NamespacedName)
	}
	in := Input{Source: &s, Host: r.Host, Now: r.Clock.Now(), Sink: r.Resolver.Require(ctx, s.Spec.Sink, s.Namespace)}
	in.Sender = r.Accounts.Settle(ctx, &s)
	if err := r.Exposer.Subscribers(ctx, in.Sink.Service); err != nil {
		return ctrl.Result{}, fmt.Errorf("ApiServerSource %s: %w", request, err)
	}
	watches, err := r.watches(ctx, &in)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("ApiServerSource %s: %w", request, err)
	}
	tells, filtering := r.tellingOf(&s)
	in.Wrong = errors.Join(in.Wrong, filtering)
	if in.Wrong == nil {
		if in.Missing, err = lacks(ctx, r.Client, accountOf(&s), watches); err != nil {
			return ctrl.Result{}, fmt.Errorf("ApiServerSource %s: %w", request, err)
		}
	}
	r.run(ctx, &in, tells, watches)
	if err := status.Save(ctx, r.Client, &s, &s.Status, Decide(in)); err != nil {
		return ctrl.Result{}, err
	}
	if !in.Synced || in.Sink.Err != nil || in.Sender.Err != nil {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{RequeueAfter: settled}, nil
}

// run watches for a source, or ends that. A sink that is missing for a while ends nothing: events wait for it.
func (r *Reconciler) run(ctx context.Context, in *Input, tells *telling, watches []Watch) {
	name := nameOf(in.Source)
	if in.Wrong != nil || len(in.Missing) > 0 {
		r.Adapter.Remove(name)
		return
	}
	if in.Sink.Err != nil && !r.Adapter.Watching(name) {
		return
	}
	stream := StreamOf(in.Source)
	reader, err := ReaderOf(in.Source, in.Sink)
	reader.As = in.Sender.Account
	if err != nil {
		in.Wrong = err
	}
	in.Stored = r.Handed.DropStream(ctx, Kind, name, stream.ID)
	if in.Stored == nil {
		in.Stored = r.Handed.EnsureStream(ctx, stream)
	}
	if in.Stored == nil {
		in.Stored = r.Handed.SetReader(ctx, Kind, name, &reader)
	}
	if in.Stored != nil {
		return
	}
	if in.Trouble = r.Adapter.Set(name, stream.ID, tells, watches); in.Trouble != nil {
		return
	}
	object := &sourcesv1.ApiServerSource{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	in.Synced, in.Trouble = r.Adapter.Synced(name, func(ctx context.Context) {
		select {
		case r.synced <- event.GenericEvent{Object: object}:
		case <-ctx.Done():
		}
	})
}

func (r *Reconciler) drop(ctx context.Context, name types.NamespacedName) error {
	r.Adapter.Remove(name)
	if err := r.Handed.DropReader(ctx, Kind, name); err != nil {
		return err
	}
	return r.Handed.DropStream(ctx, Kind, name, "")
}

// tellingOf is how a source tells of changes.
func (r *Reconciler) tellingOf(s *sourcesv1.ApiServerSource) (*telling, error) {
	t := &telling{source: s.UID, host: r.Host, whole: s.Spec.EventMode == sourcesv1.ResourceMode, owner: s.Spec.ResourceOwner}
	if s.Spec.CloudEventOverrides != nil {
		t.extensions = s.Spec.CloudEventOverrides.Extensions
	}
	if len(s.Spec.Filters) == 0 {
		return t, nil
	}
	var spec filter.Spec
	data, err := json.Marshal(map[string]any{"filters": s.Spec.Filters})
	if err == nil {
		err = json.Unmarshal(data, &spec)
	}
	if err == nil {
		t.filter, err = filter.Compile(spec)
	}
	if err != nil {
		return t, fmt.Errorf("spec.filters: %w", err)
	}
	return t, nil
}

// watches are what a source needs to see. Kinds that are not served are noted as wrong.
func (r *Reconciler) watches(ctx context.Context, in *Input) ([]Watch, error) {
	var err error
	if in.Namespaces, err = r.namespaces(ctx, in.Source); err != nil {
		return nil, err
	}
	var out []Watch
	var unknown unserved
	for _, resource := range in.Source.Spec.Resources {
		kind := schema.FromAPIVersionAndKind(resource.APIVersion, resource.Kind)
		mapping, err := r.Mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			unknown = append(unknown, fmt.Sprintf("%s of %s", resource.Kind, resource.APIVersion))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up kind %s of %s: %w", resource.Kind, resource.APIVersion, err)
		}
		selector, err := metav1.LabelSelectorAsSelector(resource.LabelSelector)
		if err != nil {
			in.Wrong = errors.Join(in.Wrong, fmt.Errorf("spec.resources: selector: %w", err))
			continue
		}
		w := Watch{Kind: kind, Resource: mapping.Resource, Whole: in.Source.Spec.EventMode == sourcesv1.ResourceMode}
		if resource.LabelSelector != nil {
			w.Selector = selector.String()
		}
		namespaces := in.Namespaces
		if mapping.Scope.Name() == meta.RESTScopeNameRoot {
			namespaces = []string{metav1.NamespaceAll}
		}
		for _, namespace := range namespaces {
			w.Namespace = namespace
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	if len(unknown) > 0 {
		in.Wrong = errors.Join(in.Wrong, unknown)
	}
	return out, nil
}

// namespaces are those a source watches: its own, those it selects, or all of them as one empty name.
func (r *Reconciler) namespaces(ctx context.Context, s *sourcesv1.ApiServerSource) ([]string, error) {
	switch {
	case s.Spec.NamespaceSelector == nil:
		return []string{s.Namespace}, nil
	case all(s.Spec.NamespaceSelector):
		return []string{metav1.NamespaceAll}, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s.Spec.NamespaceSelector)
	if err != nil {
		return nil, fmt.Errorf("spec.namespaceSelector: %w", err)
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := r.Client.List(ctx, list, client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	out := make([]string, 0, len(list.Items))
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			out = append(out, list.Items[i].Name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// all reports whether a selector selects everything.
func all(s *metav1.LabelSelector) bool {
	return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0
}

package eventtype

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/status"
)

// lookAgain is how soon a reference is looked for again that is not there; one that is, after settled.
const (
	lookAgain = 10 * time.Second
	settled   = 5 * time.Minute
	// asked is how often it is asked whether EventTypes of sources are made.
	asked = time.Minute
)

// sources are the kinds that say in their status what they send.
var sources = map[string]client.Object{
	"PingSource": &sourcesv1.PingSource{}, "CronJobSource": &sourcesv1.CronJobSource{}, "ApiServerSource": &sourcesv1.ApiServerSource{},
	"KafkaSource": &sourcesv1.KafkaSource{},
}

// Reconciler says whether what EventTypes refer to is there, and makes those of sources.
type Reconciler struct {
	Client   client.Client
	Resolver *destination.Resolver
	// Enabled says whether EventTypes of sources are made.
	Enabled func() bool
	Clock   clock.PassiveClock
}

// Setup adds the controllers to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	referring := handler.EnqueueRequestsFromMapFunc(r.referring)
	errs := []error{ctrl.NewControllerManagedBy(m).Named("eventtype").For(&eventingv1beta3.EventType{}).
		Watches(&eventingv1.Broker{}, referring).Watches(&messagingv1.Channel{}, referring).Watches(&messagingv1.InMemoryChannel{}, referring).
		Complete(enqueue.Anew(r.EventType))}
	for kind, object := range sources {
		c := ctrl.NewControllerManagedBy(m).Named("eventtypes-of-" + strings.ToLower(kind)).For(object).Owns(&eventingv1beta3.EventType{})
		errs = append(errs, c.Complete(enqueue.Anew(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
			if !r.Enabled() {
				return ctrl.Result{RequeueAfter: asked}, nil // what is there stays, as with Knative
			}
			return ctrl.Result{}, r.source(ctx, kind, request.NamespacedName)
		})))
	}
	return errors.Join(errs...)
}

// referring are the EventTypes that refer to a Broker or channel.
func (r *Reconciler) referring(ctx context.Context, o client.Object) []ctrl.Request {
	kind, err := r.Client.GroupVersionKindFor(o)
	if err != nil {
		return nil
	}
	return enqueue.Those(ctx, r.Client, &eventingv1beta3.EventTypeList{}, func(t *eventingv1beta3.EventType) bool {
		ref := t.Spec.Reference
		return ref != nil && ref.Kind == kind.Kind && ref.Name == o.GetName()
	}, client.InNamespace(o.GetNamespace()))
}

// EventType reconciles one EventType.
func (r *Reconciler) EventType(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var e eventingv1beta3.EventType
	if err := r.Client.Get(ctx, request.NamespacedName, &e); err != nil || e.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	missing, err := r.missing(ctx, &e)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("EventType %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &e, &e.Status, Decide(&e, missing, r.Clock.Now())); err != nil {
		return ctrl.Result{}, err
	}
	switch {
	case e.Spec.Reference == nil:
		return ctrl.Result{}, nil
	case missing != "":
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{RequeueAfter: settled}, nil
}

// missing says what an EventType refers to that is not there.
func (r *Reconciler) missing(ctx context.Context, e *eventingv1beta3.EventType) (string, error) {
	ref := e.Spec.Reference
	if ref == nil {
		return "", nil
	}
	name := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	if name.Namespace == "" {
		name.Namespace = e.Namespace
	}
	kind, err := r.Resolver.KindOf(*ref)
	var unresolved *destination.Unresolved
	if errors.As(err, &unresolved) {
		return unresolved.Message, nil
	}
	if err != nil {
		return "", err
	}
	var target client.Object
	switch kind {
	case eventingv1.SchemeGroupVersion.WithKind("Broker"):
		target = &eventingv1.Broker{}
	case messagingv1.SchemeGroupVersion.WithKind("Channel"):
		target = &messagingv1.Channel{}
	case messagingv1.SchemeGroupVersion.WithKind("InMemoryChannel"):
		target = &messagingv1.InMemoryChannel{}
	default:
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind)
		target = object
	}
	err = r.Client.Get(ctx, name, target)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("%s %s does not exist", kind.Kind, name), nil
	case meta.IsNoMatchError(err):
		return fmt.Sprintf("kind %s of %s is not served here", kind.Kind, kind.GroupVersion()), nil
	case err != nil:
		return "", fmt.Errorf("read %s %s: %w", kind.Kind, name, err)
	}
	return "", nil
}

// Decide returns an EventType's status; missing says what it refers to that is not there.
func Decide(e *eventingv1beta3.EventType, missing string, now time.Time) eventingv1beta3.EventTypeStatus {
	out := *e.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(now))
	out.ObservedGeneration = e.Generation
	marks.Initialize()
	exists := eventingv1beta3.EventTypeConditionReferenceExists
	switch {
	case e.Spec.Reference == nil:
		marks.MarkTrueWithReason(exists, "ReferenceNotSet", "the EventType refers to nothing")
	case missing != "":
		marks.MarkFalse(exists, "ReferenceDoesNotExist", missing)
	default:
		marks.MarkTrue(exists)
	}
	out.Status.KeepTransitionTimes(&e.Status.Status)
	return out
}

// source makes the EventTypes of what a source says it sends, and takes away those that it says no more.
func (r *Reconciler) source(ctx context.Context, kind string, name types.NamespacedName) error {
	object := sources[kind].DeepCopyObject().(client.Object)
	if err := r.Client.Get(ctx, name, object); err != nil || object.GetDeletionTimestamp() != nil {
		return client.IgnoreNotFound(err) // they go with it
	}
	want, err := typesOf(kind, object)
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind, name, err)
	}
	var list eventingv1beta3.EventTypeList
	if err := r.Client.List(ctx, &list, client.InNamespace(name.Namespace)); err != nil {
		return fmt.Errorf("list EventTypes in %s: %w", name.Namespace, err)
	}
	for i := range list.Items {
		have := &list.Items[i]
		if !metav1.IsControlledBy(have, object) {
			continue
		}
		wanted, ok := want[have.Name]
		delete(want, have.Name)
		switch {
		case !ok:
			err = client.IgnoreNotFound(r.Client.Delete(ctx, have))
		case !equality.Semantic.DeepEqual(have.Spec, wanted.Spec):
			have.Spec = wanted.Spec
			err = r.Client.Update(ctx, have)
		}
		if err != nil {
			return fmt.Errorf("EventType %s/%s: %w", have.Namespace, have.Name, err)
		}
	}
	for _, wanted := range want {
		if err := r.Client.Create(ctx, wanted); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("make EventType %s/%s: %w", wanted.Namespace, wanted.Name, err)
		}
	}
	return nil
}

// typesOf are the EventTypes of a source by name. One whose sink is no object has none.
func typesOf(kind string, object client.Object) (map[string]*eventingv1beta3.EventType, error) {
	data, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	var s struct {
		Spec   duck.SourceSpec   `json:"spec"`
		Status duck.SourceStatus `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(data, &s); err != nil {
		return nil, err
	}
	out := map[string]*eventingv1beta3.EventType{}
	if s.Spec.Sink.Ref == nil {
		return out, nil
	}
	self := duck.KReference{APIVersion: sourcesv1.SchemeGroupVersion.String(), Kind: kind}
	for _, a := range s.Status.CloudEventAttributes {
		if a.Type == "" {
			continue
		}
		seen := Seen{Type: a.Type, Source: a.Source}
		e := made(nameFrom(object, seen), object.GetNamespace(), s.Spec.Sink.Ref.DeepCopy(), ownedBy(self, object, true), seen)
		out[e.Name] = e
	}
	return out, nil
}

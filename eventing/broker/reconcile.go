package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/model"
)

// lookAgain is how soon something is looked at again that nothing tells us about: a destination of a kind that is not watched.
const lookAgain = 5 * time.Second

// DependencyKey is the annotation of a Trigger that names an object, as JSON, without which it delivers nothing.
const DependencyKey = "knative.dev/dependency"

// Reconciler brings Brokers and Triggers about.
type Reconciler struct {
	Client        client.Client
	Plane         Plane
	Exposer       Exposer
	Resolver      *destination.Resolver
	ClusterDomain string
	Clock         clock.PassiveClock

	mu      sync.Mutex
	streams map[types.NamespacedName]model.StreamID
	readers map[types.NamespacedName]known
}

// known is a reader that was handed over.
type known struct {
	stream model.StreamID
	id     model.ReaderID
}

// Broker reconciles one Broker.
func (r *Reconciler) Broker(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var b eventingv1.Broker
	if err := r.Client.Get(ctx, request.NamespacedName, &b); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read Broker %s: %w", request, err)
	} else if err != nil || b.DeletionTimestamp != nil || !Serves(&b) {
		return ctrl.Result{}, r.dropStream(ctx, request.NamespacedName, "")
	}
	stream := StreamOf(&b)
	if err := r.dropStream(ctx, request.NamespacedName, stream.ID); err != nil {
		return ctrl.Result{}, err
	}
	in := BrokerInput{Broker: &b, ClusterDomain: r.ClusterDomain, Now: r.Clock.Now()}
	if in.Stored = r.Plane.EnsureStream(ctx, stream); in.Stored == nil {
		r.mu.Lock()
		r.streams[request.NamespacedName] = stream.ID
		r.mu.Unlock()
	}
	in.Reached, in.Why = r.Exposer.Ingress(ctx)
	if b.Spec.Delivery != nil {
		in.DeadLetter = r.find(ctx, b.Spec.Delivery.DeadLetterSink, b.Namespace)
	}
	if err := r.Exposer.Subscriber(ctx, in.DeadLetter.Service); err != nil {
		return ctrl.Result{}, fmt.Errorf("Broker %s: %w", request, err)
	}
	status := DecideBroker(in)
	if err := r.write(ctx, &b, &b.Status, &status); err != nil {
		return ctrl.Result{}, err
	}
	if in.Stored != nil || !in.Reached || in.DeadLetter.Err != nil {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// dropStream ends the stream that a name had, unless it is the one it has now.
func (r *Reconciler) dropStream(ctx context.Context, name types.NamespacedName, now model.StreamID) error {
	r.mu.Lock()
	old, had := r.streams[name]
	r.mu.Unlock()
	if !had || old == now {
		return nil
	}
	if err := r.Plane.RemoveStream(ctx, old); err != nil {
		return fmt.Errorf("drop what Broker %s stored: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.streams[name] == old {
		delete(r.streams, name)
	}
	return nil
}

// Trigger reconciles one Trigger.
func (r *Reconciler) Trigger(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var t eventingv1.Trigger
	if err := r.Client.Get(ctx, request.NamespacedName, &t); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read Trigger %s: %w", request, err)
	} else if err != nil || t.DeletionTimestamp != nil {
		return ctrl.Result{}, r.dropReader(ctx, request.NamespacedName, known{})
	}
	in := TriggerInput{Trigger: &t, Now: r.Clock.Now()}
	var b eventingv1.Broker
	switch err := r.Client.Get(ctx, BrokerOf(&t), &b); {
	case err == nil && b.DeletionTimestamp == nil:
		if !Serves(&b) {
			return ctrl.Result{}, r.dropReader(ctx, request.NamespacedName, known{})
		}
		in.Broker = &b
	case client.IgnoreNotFound(err) != nil:
		return ctrl.Result{}, fmt.Errorf("read Broker %s: %w", BrokerOf(&t), err)
	}
	in.Subscriber = r.find(ctx, &t.Spec.Subscriber, t.Namespace)
	if t.Spec.Delivery != nil {
		in.DeadLetter = r.find(ctx, t.Spec.Delivery.DeadLetterSink, t.Namespace)
	}
	in.Dependency = r.dependency(ctx, &t)
	d := DecideTrigger(in)
	for _, found := range []Found{in.Subscriber, in.DeadLetter} {
		if err := r.Exposer.Subscriber(ctx, found.Service); err != nil {
			return ctrl.Result{}, fmt.Errorf("Trigger %s: %w", request, err)
		}
	}
	if err := r.hand(ctx, request.NamespacedName, d.Reader); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.write(ctx, &t, &t.Status, &d.Status); err != nil {
		return ctrl.Result{}, err
	}
	if in.Subscriber.Err != nil || in.DeadLetter.Err != nil || in.Dependency != nil && !in.Dependency.Ready.IsTrue() {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// hand gives the plane a Trigger's reader, or takes it away where there is none.
func (r *Reconciler) hand(ctx context.Context, name types.NamespacedName, reader *model.Reader) error {
	var now known
	if reader != nil {
		now = known{reader.Stream, reader.ID}
	}
	if err := r.dropReader(ctx, name, now); err != nil || reader == nil {
		return err
	}
	if err := r.Plane.SetReader(ctx, *reader); err != nil {
		return fmt.Errorf("start the reader of Trigger %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers[name] = now
	return nil
}

func (r *Reconciler) dropReader(ctx context.Context, name types.NamespacedName, now known) error {
	r.mu.Lock()
	old, had := r.readers[name]
	r.mu.Unlock()
	if !had || old == now {
		return nil
	}
	if err := r.Plane.RemoveReader(ctx, old.stream, old.id); err != nil {
		return fmt.Errorf("end the reader of Trigger %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readers[name] == old {
		delete(r.readers, name)
	}
	return nil
}

func (r *Reconciler) find(ctx context.Context, d *duck.Destination, namespace string) Found {
	if d == nil {
		return Found{}
	}
	resolved, err := r.Resolver.Resolve(ctx, *d, namespace)
	return Found{Resolved: resolved, Err: err}
}

// dependency reads the state of what a Trigger depends on.
func (r *Reconciler) dependency(ctx context.Context, t *eventingv1.Trigger) *Dependency {
	text, given := t.Annotations[DependencyKey]
	if !given {
		return nil
	}
	var ref duck.KReference
	if err := json.Unmarshal([]byte(text), &ref); err != nil {
		return &Dependency{Reason: "DependencyReadFailed", Message: fmt.Sprintf("annotation %s is no reference as JSON: %v", DependencyKey, err)}
	}
	if ref.Namespace == "" {
		ref.Namespace = t.Namespace
	}
	object := &unstructured.Unstructured{}
	kind, err := r.Resolver.KindOf(ref)
	if err == nil {
		object.SetGroupVersionKind(kind)
		err = r.Client.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, object)
	}
	if err != nil {
		return &Dependency{Reason: "DependencyDoesNotExist", Message: fmt.Sprintf("%s %s/%s: %v", ref.Kind, ref.Namespace, ref.Name, err)}
	}
	var s struct {
		Status conditions.Status `json:"status"`
	}
	data, err := object.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return &Dependency{Reason: "DependencyReadFailed", Message: err.Error()}
	}
	ready := s.Status.GetCondition(conditions.Ready)
	if ready == nil {
		return &Dependency{Reason: "DependencyNotReconciled", Message: fmt.Sprintf("%s %s/%s has no condition Ready yet", ref.Kind, ref.Namespace, ref.Name)}
	}
	return &Dependency{Ready: ready, Reason: ready.Reason, Message: ready.Message}
}

// write stores a status if it says something new.
func (r *Reconciler) write(ctx context.Context, object client.Object, at, status any) error {
	if equality.Semantic.DeepEqual(at, status) {
		return nil
	}
	switch o := object.(type) {
	case *eventingv1.Broker:
		o.Status = *status.(*eventingv1.BrokerStatus)
	case *eventingv1.Trigger:
		o.Status = *status.(*eventingv1.TriggerStatus)
	}
	if err := r.Client.Status().Update(ctx, object); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write the status of %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// lookAgain is how soon something is looked at again that nothing tells us about: a destination of a kind that is not watched.
const lookAgain = 5 * time.Second

// Reconciler brings Brokers and Triggers about.
type Reconciler struct {
	Client   client.Client
	Handed   *handed.Memory
	Exposer  Exposer
	Resolver *destination.Resolver
	// Kafka and Placer are for Brokers of class Kafka; without them these are not served.
	Kafka  Settings
	Placer Placer
	// Policies reads EventPolicies; nil reads none.
	Policies *policy.Reader
	// Accounts makes as whom Triggers send; nil makes nobody.
	Accounts      *identity.Accounts
	ClusterDomain string
	Clock         clock.PassiveClock
}

var brokerKind = eventingv1.SchemeGroupVersion.WithKind("Broker").GroupKind()

// Broker reconciles one Broker.
func (r *Reconciler) Broker(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var b eventingv1.Broker
	if err := r.Client.Get(ctx, request.NamespacedName, &b); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read Broker %s: %w", request, err)
	} else if err != nil || b.DeletionTimestamp != nil || !r.serves(&b) {
		return ctrl.Result{}, r.Handed.DropStream(ctx, model.Broker, request.NamespacedName, "")
	}
	stream := StreamOf(&b)
	if err := r.Handed.DropStream(ctx, model.Broker, request.NamespacedName, stream.ID); err != nil {
		return ctrl.Result{}, err
	}
	letters := r.Resolver.DeadLetters(ctx, b.Spec.Delivery, b.Namespace)
	if err := r.Exposer.Subscribers(ctx, letters.Service); err != nil {
		return ctrl.Result{}, fmt.Errorf("Broker %s: %w", request, err)
	}
	applied, err := r.Policies.To(ctx, policy.TargetOf(brokerKind, &b))
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("Broker %s: %w", request, err)
	}
	if InKafka(&b) {
		return r.kafkaBroker(ctx, &b, letters, applied)
	}
	in := BrokerInput{Broker: &b, DeadLetter: letters, Applied: applied, ClusterDomain: r.ClusterDomain, Now: r.Clock.Now()}
	in.Stored = r.Handed.EnsureStream(ctx, stream)
	in.Reached, in.Why = r.Exposer.Ingress(ctx)
	if err := status.Save(ctx, r.Client, &b, &b.Status, DecideBroker(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Stored != nil || !in.Reached || in.DeadLetter.Err != nil {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// serves reports whether a Broker is ours.
func (r *Reconciler) serves(b *eventingv1.Broker) bool {
	return Serves(b) && (!InKafka(b) || r.Kafka != nil)
}

// Trigger reconciles one Trigger.
func (r *Reconciler) Trigger(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var t eventingv1.Trigger
	if err := r.Client.Get(ctx, request.NamespacedName, &t); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read Trigger %s: %w", request, err)
	} else if err != nil || t.DeletionTimestamp != nil {
		return ctrl.Result{}, r.Handed.DropReader(ctx, model.Trigger, request.NamespacedName)
	}
	in := TriggerInput{Trigger: &t, Now: r.Clock.Now()}
	var b eventingv1.Broker
	switch err := r.Client.Get(ctx, BrokerOf(&t), &b); {
	case err == nil && b.DeletionTimestamp == nil:
		if !r.serves(&b) {
			return ctrl.Result{}, r.Handed.DropReader(ctx, model.Trigger, request.NamespacedName)
		}
		in.Broker = &b
	case client.IgnoreNotFound(err) != nil:
		return ctrl.Result{}, fmt.Errorf("read Broker %s: %w", BrokerOf(&t), err)
	}
	in.Subscriber = r.Resolver.Require(ctx, t.Spec.Subscriber, t.Namespace)
	in.DeadLetter = r.Resolver.DeadLetters(ctx, t.Spec.Delivery, t.Namespace)
	in.Dependency = r.dependency(ctx, &t)
	in.Sender = r.Accounts.Settle(ctx, &t)
	d := DecideTrigger(in)
	if err := r.Exposer.Subscribers(ctx, in.Subscriber.Service, in.DeadLetter.Service); err != nil {
		return ctrl.Result{}, fmt.Errorf("Trigger %s: %w", request, err)
	}
	reading := r.Handed.SetReader(ctx, model.Trigger, request.NamespacedName, d.Reader)
	if reading != nil {
		d.NotReading(&t, reading, in.Now)
	}
	if err := status.Save(ctx, r.Client, &t, &t.Status, d.Status); err != nil {
		return ctrl.Result{}, errors.Join(reading, err)
	}
	if reading != nil {
		return ctrl.Result{}, reading
	}
	if in.Subscriber.Err != nil || in.DeadLetter.Err != nil || in.Sender.Err != nil || in.Dependency != nil && !in.Dependency.Ready.IsTrue() {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// dependency reads the state of what a Trigger depends on.
func (r *Reconciler) dependency(ctx context.Context, t *eventingv1.Trigger) *Dependency {
	text, given := t.Annotations[eventing.DependencyAnnotationKey]
	if !given {
		return nil
	}
	var ref duck.KReference
	if err := json.Unmarshal([]byte(text), &ref); err != nil {
		return &Dependency{Reason: "DependencyReadFailed", Message: fmt.Sprintf("annotation %s is no reference as JSON: %v", eventing.DependencyAnnotationKey, err)}
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

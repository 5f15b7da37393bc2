package broker

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/exposure"
)

// concurrency is how many objects of a kind are reconciled at once.
const concurrency = 4

// brokerIndex lists Triggers by their Broker, subscriberIndex by what they name as subscriber, "Kind/namespace/name".
const (
	brokerIndex     = "broker"
	subscriberIndex = "subscriber"
)

// Setup adds the controllers to a manager.
func (r *Reconciler) Setup(ctx context.Context, m ctrl.Manager) error {
	indexer := m.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &eventingv1.Trigger{}, brokerIndex, func(o client.Object) []string {
		return []string{BrokerOf(o.(*eventingv1.Trigger)).String()}
	}); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &eventingv1.Trigger{}, subscriberIndex, func(o client.Object) []string {
		t := o.(*eventingv1.Trigger)
		ref := t.Spec.Subscriber.Ref
		if ref == nil {
			return nil
		}
		namespace := ref.Namespace
		if namespace == "" {
			namespace = t.Namespace
		}
		return []string{ref.Kind + "/" + namespace + "/" + ref.Name}
	}); err != nil {
		return err
	}
	options := controller.Options{MaxConcurrentReconciles: concurrency}
	watching := ctrl.NewControllerManagedBy(m).Named("broker").For(&eventingv1.Broker{}).WithOptions(options).
		Watches(&networking.Ingress{}, enqueue.OfNamed(exposure.Brokers.Name(), r.Client, &eventingv1.BrokerList{})).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.configured))
	if err := r.Policies.Watch(watching, r.Client, &eventingv1.BrokerList{}).Complete(enqueue.Anew(r.Broker)); err != nil {
		return err
	}
	byBroker := func(ctx context.Context, o client.Object) []ctrl.Request {
		return r.triggers(ctx, brokerIndex, client.ObjectKeyFromObject(o).String())
	}
	bySubscriber := func(ctx context.Context, o client.Object) []ctrl.Request {
		return r.triggers(ctx, subscriberIndex, "Service/"+client.ObjectKeyFromObject(o).String())
	}
	triggers := ctrl.NewControllerManagedBy(m).Named("trigger").For(&eventingv1.Trigger{}).WithOptions(options).
		Watches(&eventingv1.Broker{}, handler.EnqueueRequestsFromMapFunc(byBroker)).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(bySubscriber)).
		Watches(&servingv1.Service{}, handler.EnqueueRequestsFromMapFunc(bySubscriber))
	return r.Accounts.Watch(triggers, &eventingv1.TriggerList{}).Complete(enqueue.Anew(r.Trigger))
}

// configured are the Brokers of class Kafka that name a ConfigMap.
func (r *Reconciler) configured(ctx context.Context, o client.Object) []ctrl.Request {
	name := client.ObjectKeyFromObject(o)
	return enqueue.Those(ctx, r.Client, &eventingv1.BrokerList{}, func(b *eventingv1.Broker) bool { return InKafka(b) && ConfigOf(b) == name })
}

func (r *Reconciler) triggers(ctx context.Context, index, value string) []ctrl.Request {
	return enqueue.All(ctx, r.Client, &eventingv1.TriggerList{}, client.MatchingFields{index: value})
}

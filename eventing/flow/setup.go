package flow

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// concurrency is how many objects of a kind are reconciled at once.
const concurrency = 4

// channelIndex lists Subscriptions by the channel they name, destinationIndex by what they deliver to.
const (
	channelIndex     = "channel"
	destinationIndex = "destination"
)

// indexKey is an object's value in the indexes. It has no version: references to one object may name several.
func indexKey(kind schema.GroupKind, name types.NamespacedName) string {
	return kind.String() + "/" + name.String()
}

// keyOf is the value of what a reference in a namespace names.
func keyOf(ref duck.KReference, namespace string) string {
	group := ref.Group
	if ref.APIVersion != "" {
		group = schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group
	}
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	return indexKey(schema.GroupKind{Group: group, Kind: ref.Kind}, types.NamespacedName{Namespace: namespace, Name: ref.Name})
}

func byChannel(o client.Object) []string {
	s := o.(*messagingv1.Subscription)
	return []string{keyOf(s.Spec.Channel, s.Namespace)}
}

func byDestination(o client.Object) []string {
	s := o.(*messagingv1.Subscription)
	all := []*duck.Destination{s.Spec.Subscriber, s.Spec.Reply}
	if s.Spec.Delivery != nil {
		all = append(all, s.Spec.Delivery.DeadLetterSink)
	}
	var out []string
	for _, d := range all {
		if d != nil && d.Ref != nil {
			out = append(out, keyOf(*d.Ref, s.Namespace))
		}
	}
	return out
}

// addressable is a kind that Subscriptions deliver to or read.
type addressable struct {
	kind   schema.GroupKind
	object client.Object
}

// addressables are the kinds whose change is told to Subscriptions.
var addressables = []addressable{
	{corev1.SchemeGroupVersion.WithKind("Service").GroupKind(), &corev1.Service{}},
	{servingv1.SchemeGroupVersion.WithKind("Service").GroupKind(), &servingv1.Service{}},
	{eventingv1.SchemeGroupVersion.WithKind("Broker").GroupKind(), &eventingv1.Broker{}},
	{inMemoryChannelKind.GroupKind(), &messagingv1.InMemoryChannel{}},
	{channelKind.GroupKind(), &messagingv1.Channel{}},
	{sequenceKind.GroupKind(), &flowsv1.Sequence{}},
	{parallelKind.GroupKind(), &flowsv1.Parallel{}},
}

func (r *Reconciler) addressables() []addressable {
	if r.Kafka == nil {
		return addressables
	}
	return append([]addressable{{kafkaChannelKind.GroupKind(), &messagingv1beta1.KafkaChannel{}}}, addressables...)
}

// ownsChannels has a controller told of the channels that keep events and that its objects own.
func (r *Reconciler) ownsChannels(b *builder.Builder) *builder.Builder {
	b = b.Owns(&messagingv1.InMemoryChannel{})
	if r.Kafka != nil {
		b = b.Owns(&messagingv1beta1.KafkaChannel{})
	}
	return b
}

// setupKafka adds the controller of KafkaChannels.
func (r *Reconciler) setupKafka(m ctrl.Manager, options controller.Options) error {
	if r.Kafka == nil {
		return nil
	}
	watching := ctrl.NewControllerManagedBy(m).Named("kafkachannel").For(&messagingv1beta1.KafkaChannel{}).WithOptions(options).
		Owns(&networking.Ingress{}).Owns(&corev1.Service{}).
		Watches(&messagingv1.Subscription{}, handler.EnqueueRequestsFromMapFunc(channelRead)).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.kafkaConfigured))
	return r.Policies.Watch(watching, r.Client, &messagingv1beta1.KafkaChannelList{}).Complete(reconcile.Func(r.KafkaChannel))
}

// Setup adds the controllers to a manager.
func (r *Reconciler) Setup(ctx context.Context, m ctrl.Manager) error {
	indexer := m.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &messagingv1.Subscription{}, channelIndex, byChannel); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &messagingv1.Subscription{}, destinationIndex, byDestination); err != nil {
		return err
	}
	options := controller.Options{MaxConcurrentReconciles: concurrency}
	if err := r.setupKafka(m, options); err != nil {
		return err
	}
	watching := ctrl.NewControllerManagedBy(m).Named("inmemorychannel").For(&messagingv1.InMemoryChannel{}).WithOptions(options).
		Owns(&networking.Ingress{}).Owns(&corev1.Service{}).
		Watches(&messagingv1.Subscription{}, handler.EnqueueRequestsFromMapFunc(channelRead))
	if err := r.Policies.Watch(watching, r.Client, &messagingv1.InMemoryChannelList{}).Complete(reconcile.Func(r.InMemoryChannel)); err != nil {
		return err
	}
	if err := r.ownsChannels(ctrl.NewControllerManagedBy(m).Named("channel").For(&messagingv1.Channel{}).WithOptions(options)).
		Complete(reconcile.Func(r.Channel)); err != nil {
		return err
	}
	subscription := ctrl.NewControllerManagedBy(m).Named("subscription").For(&messagingv1.Subscription{}).WithOptions(options)
	for _, a := range r.addressables() {
		subscription = subscription.Watches(a.object, handler.EnqueueRequestsFromMapFunc(r.concerned(a.kind)))
	}
	if err := subscription.Complete(reconcile.Func(r.Subscription)); err != nil {
		return err
	}
	if err := r.ownsChannels(ctrl.NewControllerManagedBy(m).Named("sequence").For(&flowsv1.Sequence{}).WithOptions(options)).
		Owns(&messagingv1.Channel{}).Owns(&messagingv1.Subscription{}).
		Complete(reconcile.Func(r.Sequence)); err != nil {
		return err
	}
	return r.ownsChannels(ctrl.NewControllerManagedBy(m).Named("parallel").For(&flowsv1.Parallel{}).WithOptions(options)).
		Owns(&messagingv1.Channel{}).Owns(&messagingv1.Subscription{}).
		Complete(reconcile.Func(r.Parallel))
}

// channelRead is the channel that a Subscription reads, which has its name or backs the Channel of that name.
func channelRead(_ context.Context, o client.Object) []ctrl.Request {
	s := o.(*messagingv1.Subscription)
	namespace := s.Spec.Channel.Namespace
	if namespace == "" {
		namespace = s.Namespace
	}
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: s.Spec.Channel.Name}}}
}

// concerned finds the Subscriptions that read an object of a kind or deliver to it.
func (r *Reconciler) concerned(kind schema.GroupKind) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []ctrl.Request {
		key := indexKey(kind, client.ObjectKeyFromObject(o))
		fields := []client.MatchingFields{{destinationIndex: key}, {channelIndex: key}}
		if r.serves(kind) {
			// One that backs a Channel is read by that one's name.
			fields = append(fields, client.MatchingFields{channelIndex: indexKey(channelKind.GroupKind(), client.ObjectKeyFromObject(o))})
		}
		var out []ctrl.Request
		for _, f := range fields {
			var list messagingv1.SubscriptionList
			if err := r.Client.List(ctx, &list, f); err != nil {
				continue
			}
			for i := range list.Items {
				out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
			}
		}
		return out
	}
}

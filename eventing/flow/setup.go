package flow

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/eventing/enqueue"
)

// options are those of all controllers here: so many objects of a kind are reconciled at once.
var options = controller.Options{MaxConcurrentReconciles: 4}

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
	kind   schema.GroupVersionKind
	object client.Object
}

// addressables are the kinds whose change is told to Subscriptions, besides channels that keep events.
var addressables = []addressable{
	{corev1.SchemeGroupVersion.WithKind("Service"), &corev1.Service{}},
	{servingv1.SchemeGroupVersion.WithKind("Service"), &servingv1.Service{}},
	{eventingv1.SchemeGroupVersion.WithKind("Broker"), &eventingv1.Broker{}},
	{channelKind, &messagingv1.Channel{}},
	{sequenceKind, &flowsv1.Sequence{}},
	{parallelKind, &flowsv1.Parallel{}},
}

func (r *Reconciler) addressables() []addressable {
	return slices.Concat(addressables, r.keepers())
}

// ownsChannels has a controller told of the channels that keep events and that its objects own.
func (r *Reconciler) ownsChannels(b *builder.Builder) *builder.Builder {
	for _, k := range r.keepers() {
		b = b.Owns(k.object)
	}
	return b
}

// keeps is a controller of channels that keep events, as far as it is alike for all kinds. list is an empty list of the kind.
func (r *Reconciler) keeps(m ctrl.Manager, channel client.Object, list client.ObjectList) *builder.Builder {
	b := ctrl.NewControllerManagedBy(m).For(channel).WithOptions(options).
		Owns(&networking.Ingress{}).Owns(&corev1.Service{}).
		Watches(&messagingv1.Subscription{}, handler.EnqueueRequestsFromMapFunc(channelRead))
	return r.Policies.Watch(b, r.Client, list)
}

// setupChannels adds the controllers of channels that keep events.
func (r *Reconciler) setupChannels(m ctrl.Manager) error {
	memory := r.keeps(m, &messagingv1.InMemoryChannel{}, &messagingv1.InMemoryChannelList{})
	nats := r.keeps(m, &messagingv1alpha1.NatsJetStreamChannel{}, &messagingv1alpha1.NatsJetStreamChannelList{})
	errs := []error{memory.Complete(enqueue.Anew(r.InMemoryChannel)), nats.Complete(enqueue.Anew(r.NatsJetStreamChannel))}
	if r.Kafka != nil {
		kafka := r.keeps(m, &messagingv1beta1.KafkaChannel{}, &messagingv1beta1.KafkaChannelList{}).
			WatchesMetadata(&corev1.ConfigMap{}, enqueue.OfNamed(KafkaConfig, r.Client, &messagingv1beta1.KafkaChannelList{}))
		errs = append(errs, kafka.Complete(enqueue.Anew(r.KafkaChannel)))
	}
	return errors.Join(errs...)
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
	if err := r.setupChannels(m); err != nil {
		return err
	}
	if err := r.ownsChannels(ctrl.NewControllerManagedBy(m).Named("channel").For(&messagingv1.Channel{}).WithOptions(options)).
		Complete(enqueue.Anew(r.Channel)); err != nil {
		return err
	}
	subscription := ctrl.NewControllerManagedBy(m).Named("subscription").For(&messagingv1.Subscription{}).WithOptions(options)
	for _, a := range r.addressables() {
		subscription = subscription.Watches(a.object, handler.EnqueueRequestsFromMapFunc(r.concerned(a.kind.GroupKind())))
	}
	if err := r.Accounts.Watch(subscription, &messagingv1.SubscriptionList{}).Complete(enqueue.Anew(r.Subscription)); err != nil {
		return err
	}
	sequences := r.ownsChannels(ctrl.NewControllerManagedBy(m).Named("sequence").For(&flowsv1.Sequence{}).WithOptions(options)).
		Owns(&messagingv1.Channel{}).Owns(&messagingv1.Subscription{})
	parallels := r.ownsChannels(ctrl.NewControllerManagedBy(m).Named("parallel").For(&flowsv1.Parallel{}).WithOptions(options)).
		Owns(&messagingv1.Channel{}).Owns(&messagingv1.Subscription{})
	return errors.Join(
		r.Policies.Watch(sequences, r.Client, &flowsv1.SequenceList{}).Complete(enqueue.Anew(r.Sequence)),
		r.Policies.Watch(parallels, r.Client, &flowsv1.ParallelList{}).Complete(enqueue.Anew(r.Parallel)),
	)
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
			out = append(out, enqueue.All(ctx, r.Client, &messagingv1.SubscriptionList{}, f)...)
		}
		return out
	}
}

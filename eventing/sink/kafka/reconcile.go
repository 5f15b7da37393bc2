package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// Host is the Service whose host all KafkaSinks are reached by, as Knative's.
var Host = exposure.Host{Service: "kafka-sink-ingress", Purpose: "kafkasink"}

var sinkKind = eventingv1alpha1.SchemeGroupVersion.WithKind("KafkaSink").GroupKind()

const (
	// lookAgain is how soon a KafkaSink is looked at again that is not ready; one that is, after settled: its Secret may have changed.
	lookAgain = 5 * time.Second
	settled   = time.Minute
	// concurrency is how many are reconciled at once: each may wait for Kafka.
	concurrency = 4
)

// Exposer makes a host lead to the ingress; *reach.Reach does.
type Exposer interface {
	Host(ctx context.Context, h exposure.Host) (exposure.Way, error)
}

// Writes knows where the events of sinks go; *Topics does.
type Writes interface {
	Set(ctx context.Context, name model.Key, target Target) error
	Remove(name model.Key)
}

// Secrets reads credentials; *settings.Reader does.
type Secrets interface {
	Secret(ctx context.Context, name types.NamespacedName) (cluster.Auth, error)
}

// Reconciler brings KafkaSinks about.
type Reconciler struct {
	Client  client.Client
	Secrets Secrets
	Exposer Exposer
	Topics  Writes
	// Policies reads EventPolicies; nil reads none.
	Policies *policy.Reader
	// ClusterDomain is the DNS domain of Services.
	ClusterDomain string
	Clock         clock.PassiveClock
}

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	watching := ctrl.NewControllerManagedBy(m).Named("kafkasink").For(&eventingv1alpha1.KafkaSink{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency}).
		Watches(&networking.Ingress{}, enqueue.OfNamed(Host.Name(), r.Client, &eventingv1alpha1.KafkaSinkList{}))
	return r.Policies.Watch(watching, r.Client, &eventingv1alpha1.KafkaSinkList{}).Complete(enqueue.Anew(r.Reconcile))
}

// Reconcile reconciles one KafkaSink.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var s eventingv1alpha1.KafkaSink
	if err := r.Client.Get(ctx, request.NamespacedName, &s); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read KafkaSink %s: %w", request, err)
	} else if err != nil || s.DeletionTimestamp != nil {
		r.Topics.Remove(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	in := Input{Sink: &s, ClusterDomain: r.ClusterDomain, Now: r.Clock.Now()}
	var err error
	if in.Applied, err = r.Policies.To(ctx, policy.TargetOf(sinkKind, &s)); err != nil {
		return ctrl.Result{}, fmt.Errorf("KafkaSink %s: %w", request, err)
	}
	var target Target
	if target, in.Config = r.target(ctx, &s); in.Config == nil {
		in.Stored = r.Topics.Set(ctx, request.NamespacedName, target)
	}
	if in.Way, err = r.Exposer.Host(ctx, Host); err != nil {
		return ctrl.Result{}, fmt.Errorf("KafkaSink %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &s, &s.Status, Decide(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Config != nil || in.Stored != nil || !in.Way.Open() {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{RequeueAfter: settled}, nil
}

// target is where a sink's events go.
func (r *Reconciler) target(ctx context.Context, s *eventingv1alpha1.KafkaSink) (Target, error) {
	t := Target{Cluster: cluster.Cluster{Servers: s.Spec.BootstrapServers}, Topic: TopicOf(s)}
	t.Structured = ptr.Deref(s.Spec.ContentMode, eventingv1alpha1.ModeBinary) == eventingv1alpha1.ModeStructured
	if auth := s.Spec.Auth; auth != nil && auth.Secret != nil && auth.Secret.Ref != nil && auth.Secret.Ref.Name != "" {
		var err error
		if t.Cluster.Auth, err = r.Secrets.Secret(ctx, types.NamespacedName{Namespace: s.Namespace, Name: auth.Secret.Ref.Name}); err != nil {
			return Target{}, fmt.Errorf("spec.auth.secret.ref: %w", err)
		}
	}
	return t, nil
}

// TopicOf is a sink's topic: one that is made as it says, or one that has to be there where it does not.
func TopicOf(s *eventingv1alpha1.KafkaSink) topic.Topic {
	t := topic.Topic{Name: s.Spec.Topic, Partitions: ptr.Deref(s.Spec.NumPartitions, 0), Replication: ptr.Deref(s.Spec.ReplicationFactor, 0)}
	t.External = t.Partitions == 0 && t.Replication == 0
	return t
}

// Input is what the decision about a KafkaSink's status is made of.
type Input struct {
	Sink *eventingv1alpha1.KafkaSink
	// Config is why nobody knows how to connect, Stored why there is no topic; nil if all is well.
	Config, Stored error
	// Way is that to Host.
	Way exposure.Way
	// Applied are the EventPolicies that apply to it.
	Applied       policy.Applied
	ClusterDomain string
	Now           time.Time
}

// Decide returns a KafkaSink's status.
func Decide(in Input) eventingv1alpha1.KafkaSinkStatus {
	s := in.Sink
	out := *s.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = s.Generation
	marks.Initialize()
	marks.MarkTrue(eventingv1alpha1.KafkaSinkConditionConfigMapUpdated)
	var wrong *settings.Wrong
	var away *cluster.Unreachable
	switch {
	case errors.As(in.Config, &wrong):
		marks.MarkFalse(eventingv1alpha1.KafkaSinkConditionConfigParsed, wrong.Reason, in.Config.Error())
		marks.MarkUnknown(eventingv1alpha1.KafkaSinkConditionTopicReady, "ConfigNotParsed", "how to connect is not known")
	case in.Config != nil:
		marks.MarkFalse(eventingv1alpha1.KafkaSinkConditionConfigParsed, "ConfigNotRead", in.Config.Error())
		marks.MarkUnknown(eventingv1alpha1.KafkaSinkConditionTopicReady, "ConfigNotParsed", "how to connect is not known")
	case errors.As(in.Stored, &away):
		marks.MarkTrue(eventingv1alpha1.KafkaSinkConditionConfigParsed)
		marks.MarkFalse(eventingv1alpha1.KafkaSinkConditionTopicReady, away.Reason, "spec.bootstrapServers: "+in.Stored.Error())
	case in.Stored != nil:
		marks.MarkTrue(eventingv1alpha1.KafkaSinkConditionConfigParsed)
		marks.MarkFalse(eventingv1alpha1.KafkaSinkConditionTopicReady, "TopicNotReady", in.Stored.Error())
	default:
		marks.MarkTrue(eventingv1alpha1.KafkaSinkConditionConfigParsed)
		marks.MarkTrueWithReason(eventingv1alpha1.KafkaSinkConditionTopicReady, fmt.Sprintf("Topic %s created", s.Spec.Topic), "")
	}
	out.Address = Host.Address(in.ClusterDomain, s)
	out.Addresses = nil
	in.Way.State(marks, eventingv1alpha1.KafkaSinkConditionAddressable)
	in.Applied.State(marks, eventingv1alpha1.KafkaSinkConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &out.AddressStatus)
	out.Status.KeepTransitionTimes(&s.Status.Status)
	return out
}

package requestreply

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// lookAgain is how soon a RequestReply is looked at again that is not ready.
const lookAgain = 5 * time.Second

// Exposer makes a host lead to the ingress; *reach.Reach does.
type Exposer interface {
	Host(ctx context.Context, h exposure.Host) (exposure.Way, error)
}

// Reconciler says how RequestReplies are reached, and ends what waits at those that are gone.
type Reconciler struct {
	Client  client.Client
	Exposer Exposer
	Waiting *Waiting
	Metrics *Metrics
	// Policies reads EventPolicies; nil reads none.
	Policies *policy.Reader
	// ClusterDomain is the DNS domain of Services.
	ClusterDomain string
	Clock         clock.PassiveClock
}

var kind = eventingv1alpha1.SchemeGroupVersion.WithKind("RequestReply").GroupKind()

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	ofBroker := func(ctx context.Context, o client.Object) []ctrl.Request {
		reads := func(rr *eventingv1alpha1.RequestReply) bool { return rr.Spec.BrokerRef.Name == o.GetName() }
		return enqueue.Those(ctx, r.Client, &eventingv1alpha1.RequestReplyList{}, reads, client.InNamespace(o.GetNamespace()))
	}
	watching := ctrl.NewControllerManagedBy(m).Named("requestreply").For(&eventingv1alpha1.RequestReply{}).
		Watches(&eventingv1.Broker{}, handler.EnqueueRequestsFromMapFunc(ofBroker)).
		Watches(&networking.Ingress{}, enqueue.OfNamed(Host.Name(), r.Client, &eventingv1alpha1.RequestReplyList{}))
	return r.Policies.Watch(watching, r.Client, &eventingv1alpha1.RequestReplyList{}).Complete(enqueue.Anew(r.Reconcile))
}

// Reconcile reconciles one RequestReply.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var rr eventingv1alpha1.RequestReply
	if err := r.Client.Get(ctx, request.NamespacedName, &rr); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read RequestReply %s: %w", request, err)
	} else if err != nil || rr.DeletionTimestamp != nil {
		r.Waiting.Keep(request.NamespacedName, "")
		r.Metrics.Forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	r.Waiting.Keep(request.NamespacedName, rr.UID)
	in := Input{RequestReply: &rr, ClusterDomain: r.ClusterDomain, Now: r.Clock.Now()}
	if err := r.broker(ctx, &in); err != nil {
		return ctrl.Result{}, fmt.Errorf("RequestReply %s: %w", request, err)
	}
	var err error
	if in.Applied, err = r.Policies.To(ctx, policy.TargetOf(kind, &rr)); err != nil {
		return ctrl.Result{}, fmt.Errorf("RequestReply %s: %w", request, err)
	}
	if in.Way, err = r.Exposer.Host(ctx, Host); err != nil {
		return ctrl.Result{}, fmt.Errorf("RequestReply %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &rr, &rr.Status, Decide(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Read != nil || !in.Way.Open() {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// broker finds the Broker and whether it can be read.
func (r *Reconciler) broker(ctx context.Context, in *Input) error {
	key := types.NamespacedName{Namespace: in.RequestReply.Namespace, Name: in.RequestReply.Spec.BrokerRef.Name}
	var b eventingv1.Broker
	if err := r.Client.Get(ctx, key, &b); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read Broker %s: %w", key, err)
	} else if err != nil || b.DeletionTimestamp != nil {
		return nil
	}
	in.Broker, in.Served = &b, broker.Serves(&b)
	if in.Served {
		in.Read = r.Waiting.Reads(ctx, broker.StreamOf(&b).ID)
	}
	return nil
}

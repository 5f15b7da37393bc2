package requestreply

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// purpose is that of the Service and the route that lead to Host.
const purpose = "requestreply"

// lookAgain is how soon a RequestReply is looked at again that is not ready.
const lookAgain = 5 * time.Second

// Exposer makes a host lead to the ingress.
type Exposer interface {
	Channel(ctx context.Context, placeholder *corev1.Service, route *networking.Ingress) error
}

// Reconciler says how RequestReplies are reached, and ends what waits at those that are gone.
type Reconciler struct {
	Client  client.Client
	Exposer Exposer
	Waiting *Waiting
	Metrics *Metrics
	// Policies reads EventPolicies; nil reads none.
	Policies *policy.Reader
	// ClusterDomain is the DNS domain of Services, Domain that of URLs for clients outside, Gateway the DNS name of the internal gateway.
	ClusterDomain, Domain, Gateway string
	Clock                          clock.PassiveClock
}

var kind = eventingv1alpha1.SchemeGroupVersion.WithKind("RequestReply").GroupKind()

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	ofBroker := func(ctx context.Context, o client.Object) []ctrl.Request {
		return r.list(ctx, func(rr *eventingv1alpha1.RequestReply) bool { return rr.Spec.BrokerRef.Name == o.GetName() }, client.InNamespace(o.GetNamespace()))
	}
	ofRoute := func(ctx context.Context, o client.Object) []ctrl.Request {
		if client.ObjectKeyFromObject(o) != Host {
			return nil
		}
		return r.list(ctx, func(*eventingv1alpha1.RequestReply) bool { return true })
	}
	watching := ctrl.NewControllerManagedBy(m).Named("requestreply").For(&eventingv1alpha1.RequestReply{}).
		Watches(&eventingv1.Broker{}, handler.EnqueueRequestsFromMapFunc(ofBroker)).
		Watches(&networking.Ingress{}, handler.EnqueueRequestsFromMapFunc(ofRoute))
	return r.Policies.Watch(watching, r.Client, &eventingv1alpha1.RequestReplyList{}).Complete(reconcile.Func(r.Reconcile))
}

// list are those that a condition holds for.
func (r *Reconciler) list(ctx context.Context, holds func(*eventingv1alpha1.RequestReply) bool, options ...client.ListOption) []ctrl.Request {
	var list eventingv1alpha1.RequestReplyList
	if err := r.Client.List(ctx, &list, options...); err != nil {
		return nil
	}
	var out []ctrl.Request
	for i := range list.Items {
		if holds(&list.Items[i]) {
			out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return out
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
	if err := r.reach(ctx, &in); err != nil {
		return ctrl.Result{}, fmt.Errorf("RequestReply %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &rr, &rr.Status, Decide(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Read != nil || in.Exposed != nil || !in.Reached {
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

// reach has the gateways lead to the host, and sees whether they do.
func (r *Reconciler) reach(ctx context.Context, in *Input) error {
	backend := types.NamespacedName{Namespace: exposure.Namespace, Name: exposure.Backend}
	in.Exposed = r.Exposer.Channel(ctx, exposure.Placeholder(Host, purpose, r.Gateway),
		exposure.Route(Host, purpose, Hosts(r.ClusterDomain), External(r.Domain), backend))
	var route networking.Ingress
	err := r.Client.Get(ctx, Host, &route)
	switch {
	case apierrors.IsNotFound(err):
		in.Why = "the route to it is being made"
	case err != nil:
		return fmt.Errorf("read the route to it: %w", err)
	default:
		in.Reached, in.Why = exposure.Reached(&route)
	}
	return nil
}

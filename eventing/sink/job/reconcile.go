package job

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ebb.dev/ebb/crds/duck"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// Host is the Service whose host all JobSinks are reached by, as Knative's.
var Host = types.NamespacedName{Namespace: exposure.Namespace, Name: "job-sink"}

// purpose is that of the Service and the route that lead there.
const purpose = "jobsink"

// lookAgain is how soon a JobSink is looked at again that is not ready.
const lookAgain = 5 * time.Second

// Exposer makes a host lead to the ingress.
type Exposer interface {
	Channel(ctx context.Context, placeholder *corev1.Service, route *networking.Ingress) error
}

// Reconciler says how JobSinks are reached.
type Reconciler struct {
	Client  client.Client
	Exposer Exposer
	// Policies reads EventPolicies; nil reads none.
	Policies *policy.Reader
	// ClusterDomain is the DNS domain of Services, Gateway the DNS name of the internal gateway.
	ClusterDomain, Gateway string
	Clock                  clock.PassiveClock
}

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	watching := ctrl.NewControllerManagedBy(m).Named("jobsink").For(&sinksv1alpha1.JobSink{}).
		Watches(&networking.Ingress{}, handler.EnqueueRequestsFromMapFunc(r.sinks))
	return r.Policies.Watch(watching, r.Client, &sinksv1alpha1.JobSinkList{}).Complete(reconcile.Func(r.Reconcile))
}

// sinks are all JobSinks when the route to their host has changed.
func (r *Reconciler) sinks(ctx context.Context, o client.Object) []ctrl.Request {
	if client.ObjectKeyFromObject(o) != Host {
		return nil
	}
	var list sinksv1alpha1.JobSinkList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil
	}
	out := make([]ctrl.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}

// Hosts are the names that JobSinks are reached by.
func Hosts(clusterDomain string) []string { return exposure.Hosts(Host, clusterDomain) }

// Reconcile reconciles one JobSink.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var s sinksv1alpha1.JobSink
	if err := r.Client.Get(ctx, request.NamespacedName, &s); err != nil || s.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err) // its Jobs go with it
	}
	in := Input{Sink: &s, ClusterDomain: r.ClusterDomain, Now: r.Clock.Now()}
	var err error
	if in.Applied, err = r.Policies.To(ctx, policy.TargetOf(sinkKind.GroupKind(), &s)); err != nil {
		return ctrl.Result{}, fmt.Errorf("JobSink %s: %w", request, err)
	}
	backend := types.NamespacedName{Namespace: exposure.Namespace, Name: exposure.Backend}
	in.Exposed = r.Exposer.Channel(ctx, exposure.Placeholder(Host, purpose, r.Gateway), exposure.Route(Host, purpose, Hosts(r.ClusterDomain), nil, backend))
	var route networking.Ingress
	switch err := r.Client.Get(ctx, Host, &route); {
	case apierrors.IsNotFound(err):
		in.Why = "the route to it is being made"
	case err != nil:
		return ctrl.Result{}, err
	default:
		in.Reached, in.Why = exposure.Reached(&route)
	}
	if err := status.Save(ctx, r.Client, &s, &s.Status, Decide(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Exposed != nil || !in.Reached {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// Input is what the decision about a JobSink's status is made of.
type Input struct {
	Sink *sinksv1alpha1.JobSink
	// Exposed is why there is no way to the host; Reached says that the gateways know it, Why, why not.
	Exposed error
	Reached bool
	Why     string
	// Applied are the EventPolicies that apply to it.
	Applied       policy.Applied
	ClusterDomain string
	Now           time.Time
}

// Decide returns a JobSink's status.
func Decide(in Input) sinksv1alpha1.JobSinkStatus {
	s := in.Sink
	out := *s.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = s.Generation
	marks.Initialize()
	out.Address = &duck.Addressable{Name: ptr.To("http"), URL: "http://" + Hosts(in.ClusterDomain)[0] + "/" + s.Namespace + "/" + s.Name}
	out.Addresses, out.JobStatus.Selector = nil, Selector(s.Name)
	switch {
	case in.Exposed != nil:
		marks.MarkFalse(sinksv1alpha1.JobSinkConditionAddressable, "NotExposed", in.Exposed.Error())
	case !in.Reached:
		marks.MarkUnknown(sinksv1alpha1.JobSinkConditionAddressable, "RouteNotReady", in.Why)
	default:
		marks.MarkTrue(sinksv1alpha1.JobSinkConditionAddressable)
	}
	in.Applied.State(marks, sinksv1alpha1.JobSinkConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &out.AddressStatus)
	out.Status.KeepTransitionTimes(&s.Status.Status)
	return out
}

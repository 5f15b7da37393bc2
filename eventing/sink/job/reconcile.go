package job

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// Host is the Service whose host all JobSinks are reached by, as Knative's.
var Host = exposure.Host{Service: "job-sink", Purpose: "jobsink"}

// lookAgain is how soon a JobSink is looked at again that is not ready.
const lookAgain = 5 * time.Second

// Exposer makes a host lead to the ingress; *reach.Reach does.
type Exposer interface {
	Host(ctx context.Context, h exposure.Host) (exposure.Way, error)
}

// Reconciler says how JobSinks are reached.
type Reconciler struct {
	Client  client.Client
	Exposer Exposer
	// Policies reads EventPolicies; nil reads none.
	Policies *policy.Reader
	// ClusterDomain is the DNS domain of Services.
	ClusterDomain string
	Clock         clock.PassiveClock
}

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	watching := ctrl.NewControllerManagedBy(m).Named("jobsink").For(&sinksv1alpha1.JobSink{}).
		Watches(&networking.Ingress{}, enqueue.OfNamed(Host.Name(), r.Client, &sinksv1alpha1.JobSinkList{}))
	return r.Policies.Watch(watching, r.Client, &sinksv1alpha1.JobSinkList{}).Complete(enqueue.Anew(r.Reconcile))
}

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
	if in.Way, err = r.Exposer.Host(ctx, Host); err != nil {
		return ctrl.Result{}, fmt.Errorf("JobSink %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &s, &s.Status, Decide(in)); err != nil {
		return ctrl.Result{}, err
	}
	if !in.Way.Open() {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// Input is what the decision about a JobSink's status is made of.
type Input struct {
	Sink *sinksv1alpha1.JobSink
	// Way is that to Host.
	Way exposure.Way
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
	out.Address = Host.Address(in.ClusterDomain, s)
	out.Addresses, out.JobStatus.Selector = nil, Selector(s.Name)
	in.Way.State(marks, sinksv1alpha1.JobSinkConditionAddressable)
	in.Applied.State(marks, sinksv1alpha1.JobSinkConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &out.AddressStatus)
	out.Status.KeepTransitionTimes(&s.Status.Status)
	return out
}

package ingress

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/status"
)

// Reasons of the condition NetworkConfigured.
const (
	// ReasonRefused is rules that the gateways do not take (False).
	ReasonRefused = "Refused"
	// ReasonPending is gateways that have not answered (Unknown).
	ReasonPending = "GatewaysPending"
)

// Outcome is what the gateways said to a KIngress.
type Outcome struct {
	// Refused are reasons, each naming the host or object that it is about.
	Refused []string
	// Err says why nothing is known.
	Err error
}

// Addresses are where the gateways take requests, as hosts inside the cluster.
type Addresses struct {
	Public, Private string
}

// Decision is what to say of a KIngress.
type Decision struct {
	Status networkingv1alpha1.IngressStatus
	Pace   status.Pace
	// News are told with the status.
	News []apply.Event
}

// Decide returns what is to be said of a KIngress after the gateways have answered.
func Decide(i *networkingv1alpha1.Ingress, outcome Outcome, at Addresses, now time.Time) Decision {
	if outcome.Err != nil && i.IsReady() {
		// It was accepted before, by gateways that may be on their way back. Nothing is known to have changed.
		return Decision{Status: *i.Status.DeepCopy()}
	}
	d := Decision{Status: *i.Status.DeepCopy()}
	m := d.Status.Mark(metav1.NewTime(now))
	status.Begin(m.Manager, i.Generation, i.Status.ObservedGeneration)
	switch {
	case len(outcome.Refused) > 0:
		m.NetworkFailed(ReasonRefused, strings.Join(outcome.Refused, "; "))
	case outcome.Err != nil:
		m.NetworkNotConfigured(ReasonPending, fmt.Sprintf("Waiting for the gateways: %v", outcome.Err))
	default:
		m.NetworkConfigured()
	}
	m.LoadBalancerReady(
		[]networkingv1alpha1.LoadBalancerIngressStatus{{DomainInternal: at.Public}},
		[]networkingv1alpha1.LoadBalancerIngressStatus{{DomainInternal: at.Private}})
	d.Status.ObservedGeneration = i.Generation
	d.Status.KeepTransitionTimes(&i.Status.Status)
	is, was := d.Status.GetCondition(networkingv1alpha1.IngressConditionReady), i.Status.GetCondition(networkingv1alpha1.IngressConditionReady)
	d.Pace = status.PaceOf(is)
	if is.IsFalse() && (!was.IsFalse() || was.Message != is.Message) {
		d.News = append(d.News, apply.Warning(is.Reason, is.Message))
	}
	return d
}

package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/status"
)

// lookAgain is how soon an EventPolicy is looked at again that is not ready; one that is, after settled: senders of most kinds tell of themselves,
// others do not.
const (
	lookAgain = 10 * time.Second
	settled   = time.Minute
)

// Reconciler says of EventPolicies whether they are in force and whom they name.
type Reconciler struct {
	Client   client.Client
	Resolver *destination.Resolver
	Features func() config.EventingFeatures
	// Changes tells of changed features; nil tells of none.
	Changes Changes
	Clock   clock.PassiveClock
}

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(m).Named("eventpolicy").For(&eventingv1alpha1.EventPolicy{})
	for _, sender := range senders {
		kind, err := r.Client.GroupVersionKindFor(sender)
		if err != nil {
			return err
		}
		b = b.Watches(sender, handler.EnqueueRequestsFromMapFunc(r.naming(kind.GroupKind())))
	}
	b = enqueue.OnChange(b, r.Changes, r.Client, &eventingv1alpha1.EventPolicyList{})
	return b.Complete(enqueue.Anew(r.Reconcile))
}

// senders are the kinds that tell as whom they send.
var senders = []client.Object{
	&eventingv1.Trigger{}, &messagingv1.Subscription{}, &flowsv1.Sequence{}, &flowsv1.Parallel{}, &sourcesv1.PingSource{}, &sourcesv1.CronJobSource{},
	&sourcesv1.ApiServerSource{}, &sourcesv1.ContainerSource{}, &sourcesv1.SinkBinding{}, &sourcesv1.KafkaSource{},
}

// naming are the EventPolicies that name an object of a kind.
func (r *Reconciler) naming(kind schema.GroupKind) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []ctrl.Request {
		return enqueue.Those(ctx, r.Client, &eventingv1alpha1.EventPolicyList{}, func(p *eventingv1alpha1.EventPolicy) bool {
			return slices.ContainsFunc(p.Spec.From, func(from eventingv1alpha1.EventPolicySpecFrom) bool {
				ref := from.Ref
				return ref != nil && same(ref.APIVersion, ref.Kind, kind) && ref.Name == o.GetName() && cmp.Or(ref.Namespace, p.Namespace) == o.GetNamespace()
			})
		})
	}
}

// Reconcile reconciles one EventPolicy.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var p eventingv1alpha1.EventPolicy
	if err := r.Client.Get(ctx, request.NamespacedName, &p); err != nil || p.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	in := Input{Policy: &p, Authenticating: r.Features().Enabled(config.AuthenticationOIDC), Now: r.Clock.Now()}
	in.Subjects, in.Unresolved = r.subjects(ctx, &p)
	out := Decide(in)
	if err := status.Save(ctx, r.Client, &p, &p.Status, out); err != nil {
		return ctrl.Result{}, err
	}
	if !out.GetCondition(eventingv1alpha1.EventPolicyConditionReady).IsTrue() {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{RequeueAfter: settled}, nil
}

// subjects are the identities of an EventPolicy's senders.
func (r *Reconciler) subjects(ctx context.Context, p *eventingv1alpha1.EventPolicy) ([]string, error) {
	var out []string
	for i, from := range p.Spec.From {
		if from.Sub != nil {
			out = append(out, *from.Sub)
		}
		if from.Ref == nil {
			continue
		}
		names, err := r.identities(ctx, *from.Ref, p.Namespace)
		if err != nil {
			return nil, fmt.Errorf("spec.from[%d].ref: %w", i, err)
		}
		out = append(out, names...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// nobody is that an object sends as nobody yet.
type nobody struct{ what string }

func (n *nobody) Error() string {
	return n.what + " has no identity to send as (status.auth); if it does not get one, name its ServiceAccount by sub"
}

// identities are those that an object sends as, by its status.
func (r *Reconciler) identities(ctx context.Context, ref eventingv1alpha1.EventPolicyFromReference, namespace string) ([]string, error) {
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	what := fmt.Sprintf("%s %s/%s", ref.Kind, namespace, ref.Name)
	kind, err := r.Resolver.KindOf(duck.KReference{APIVersion: ref.APIVersion, Kind: ref.Kind})
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	if err := r.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, object); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var s struct {
		Status struct {
			Auth *duck.AuthStatus `json:"auth"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &s); err != nil {
		return nil, fmt.Errorf("%s: status.auth: %w", what, err)
	}
	var accounts []string
	if auth := s.Status.Auth; auth != nil {
		accounts = slices.Clone(auth.ServiceAccountNames)
		if auth.ServiceAccountName != nil {
			accounts = append(accounts, *auth.ServiceAccountName)
		}
	}
	if len(accounts) == 0 {
		return nil, &nobody{what}
	}
	for i, name := range accounts {
		accounts[i] = model.Account{Key: model.Key{Namespace: namespace, Name: name}}.Subject()
	}
	return accounts, nil
}

// Input is what the decision about an EventPolicy's status is made of.
type Input struct {
	Policy *eventingv1alpha1.EventPolicy
	// Authenticating says that senders are asked who they are.
	Authenticating bool
	// Subjects are the identities of its senders; Unresolved is why they are not known.
	Subjects   []string
	Unresolved error
	Now        time.Time
}

// Decide returns an EventPolicy's status.
func Decide(in Input) eventingv1alpha1.EventPolicyStatus {
	p := in.Policy
	out := *p.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = p.Generation
	marks.Initialize()
	out.From = in.Subjects
	if in.Authenticating {
		marks.MarkTrue(eventingv1alpha1.EventPolicyConditionAuthenticationEnabled)
	} else {
		marks.MarkFalse(eventingv1alpha1.EventPolicyConditionAuthenticationEnabled, "OIDCAuthenticationDisabled", disabled)
	}
	var yet *nobody
	switch {
	case errors.As(in.Unresolved, &yet):
		out.From = nil
		marks.MarkUnknown(eventingv1alpha1.EventPolicyConditionSubjectsResolved, "SubjectsWithoutIdentity", in.Unresolved.Error())
	case in.Unresolved != nil:
		out.From = nil
		marks.MarkFalse(eventingv1alpha1.EventPolicyConditionSubjectsResolved, "SubjectsNotResolved", in.Unresolved.Error())
	default:
		marks.MarkTrue(eventingv1alpha1.EventPolicyConditionSubjectsResolved)
	}
	out.Status.KeepTransitionTimes(&p.Status.Status)
	return out
}

package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	"ebb.dev/ebb/eventing/filter"
)

// Target is what events are sent to. One that backs another, as an InMemoryChannel does a Channel, and the first channel of a Sequence the
// Sequence, has several names.
type Target struct {
	Kind   schema.GroupKind
	Key    types.NamespacedName
	Labels map[string]string
	// Backs is what it backs: the Channel, or the flow whose first channel it is; nil for none.
	Backs *Target
	// Flow is the Sequence or Parallel that it is a part of; nil for none.
	Flow *Flow
}

// Flow is a Sequence or a Parallel as what its channels and Subscriptions belong to.
type Flow struct {
	Kind schema.GroupKind
	Key  types.NamespacedName
	UID  types.UID
}

// TargetOf is an object of a kind as a target, as far as the object itself says it; a Reader knows the rest.
func TargetOf(kind schema.GroupKind, o metav1.Object) Target {
	t := Target{Kind: kind, Key: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}, Labels: o.GetLabels()}
	owner := metav1.GetControllerOf(o)
	if owner == nil {
		return t
	}
	of := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind()
	key := types.NamespacedName{Namespace: o.GetNamespace(), Name: owner.Name}
	switch {
	case of == channelKind:
		t.Backs = &Target{Kind: of, Key: key}
	case of == sequenceKind || of == parallelKind:
		t.Flow = &Flow{Kind: of, Key: key, UID: owner.UID}
	}
	return t
}

// The kinds that channels are made for.
var (
	channelKind  = messagingv1.SchemeGroupVersion.WithKind("Channel").GroupKind()
	sequenceKind = flowsv1.SchemeGroupVersion.WithKind("Sequence").GroupKind()
	parallelKind = flowsv1.SchemeGroupVersion.WithKind("Parallel").GroupKind()
)

// Audience is that of tokens for a target, as Knative's.
func (t Target) Audience() string {
	return strings.ToLower(t.Kind.Group + "/" + t.Kind.Kind + "/" + t.Key.Namespace + "/" + t.Key.Name)
}

// Applying are the EventPolicies of a target's namespace that apply to it.
func Applying(policies []eventingv1alpha1.EventPolicy, t Target) []eventingv1alpha1.EventPolicy {
	var out []eventingv1alpha1.EventPolicy
	for i := range policies {
		p := &policies[i]
		if p.Namespace != t.Key.Namespace || p.DeletionTimestamp != nil {
			continue
		}
		for name := &t; name != nil; name = name.Backs {
			if applies(p, *name) {
				out = append(out, *p)
				break
			}
		}
	}
	return out
}

func applies(p *eventingv1alpha1.EventPolicy, t Target) bool {
	return len(p.Spec.To) == 0 || slices.ContainsFunc(p.Spec.To, func(to eventingv1alpha1.EventPolicySpecTo) bool {
		switch {
		case to.Ref != nil:
			return same(to.Ref.APIVersion, to.Ref.Kind, t.Kind) && to.Ref.Name == t.Key.Name
		case to.Selector != nil:
			selector, err := metav1.LabelSelectorAsSelector(&to.Selector.LabelSelector)
			return err == nil && same(to.Selector.APIVersion, to.Selector.Kind, t.Kind) && selector.Matches(labels.Set(t.Labels))
		}
		return false
	})
}

func same(apiVersion, kind string, k schema.GroupKind) bool {
	return schema.FromAPIVersionAndKind(apiVersion, kind).GroupKind() == k
}

// State says in a status which EventPolicies apply, with Knative's reasons.
func State(marks conditions.Manager, condition conditions.Type, to *duck.AppliedEventPoliciesStatus, applying []eventingv1alpha1.EventPolicy, f config.EventingFeatures) {
	to.Policies = nil
	var unready []string
	for i := range applying {
		if !applying[i].IsReady() {
			unready = append(unready, applying[i].Name)
			continue
		}
		to.Policies = append(to.Policies, duck.AppliedEventPolicyRef{APIVersion: eventingv1alpha1.SchemeGroupVersion.String(), Name: applying[i].Name})
	}
	switch {
	case len(unready) > 0:
		marks.MarkFalse(condition, "EventPoliciesNotReady", fmt.Sprintf("event policies %s are not ready", strings.Join(unready, ", ")))
	case len(applying) > 0:
		marks.MarkTrue(condition)
	case f.Enabled(config.AuthenticationOIDC):
		marks.MarkTrueWithReason(condition, "DefaultAuthorizationMode", fmt.Sprintf("Default authz mode is %q", f.Flag(config.DefaultAuthorizationMode)))
	default:
		marks.MarkTrueWithReason(condition, "OIDCDisabled", disabled)
	}
}

// disabled is what is said while nobody is asked who they are.
var disabled = fmt.Sprintf("Feature %q must be enabled to support Authorization", config.AuthenticationOIDC)

// Rules decide who may send to a target. They are compiled once, for many requests.
type Rules struct {
	namespace string
	mode      config.Flag
	given     []rule
}

// rule is an EventPolicy that applies.
type rule struct {
	name string
	// from are those it names; pending says that this is not known yet.
	from    []string
	pending bool
	// filter is nil if every event passes.
	filter filter.Filter
}

// ErrPending is that it is not known yet whether a sender may send.
var ErrPending = errors.New("it is not known yet whom it names")

// pending reports whether an EventPolicy is yet to be looked at, or to learn as whom those that it names send.
func pending(p *eventingv1alpha1.EventPolicy) bool {
	asked := p.Status.GetCondition(eventingv1alpha1.EventPolicyConditionAuthenticationEnabled)
	resolved := p.Status.GetCondition(eventingv1alpha1.EventPolicyConditionSubjectsResolved)
	return !asked.IsTrue() || resolved.IsUnknown()
}

// NewRules compiles the EventPolicies that apply to a target, for as long as senders are asked who they are. Those that are not ready let
// nobody send, and keep the default from letting anybody.
func NewRules(t Target, applying []eventingv1alpha1.EventPolicy, mode config.Flag) (*Rules, error) {
	r := &Rules{namespace: t.Key.Namespace, mode: mode}
	for i := range applying {
		p := &applying[i]
		compiled, err := filterOf(p)
		if err != nil {
			return nil, fmt.Errorf("EventPolicy %s/%s: spec.filters: %w", p.Namespace, p.Name, err)
		}
		one := rule{name: p.Name, filter: compiled, pending: pending(p)}
		if p.IsReady() {
			one.from = p.Status.From
		}
		r.given = append(r.given, one)
	}
	return r, nil
}

func filterOf(p *eventingv1alpha1.EventPolicy) (filter.Filter, error) {
	if len(p.Spec.Filters) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(map[string]any{"filters": p.Spec.Filters})
	if err != nil {
		return nil, err
	}
	var spec filter.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, err
	}
	return filter.Compile(spec)
}

// Looks reports whether the decision about a sender needs the event.
func (r *Rules) Looks(subject string) bool {
	return slices.ContainsFunc(r.given, func(one rule) bool { return one.filter != nil && contained(subject, one.from) })
}

// Allow says why a sender may not send an event, with ErrPending if it may come to may; nil if it may. The event may be nil where Looks says that it is not needed.
func (r *Rules) Allow(subject string, e *event.Event) error {
	if len(r.given) == 0 {
		return r.byDefault(subject)
	}
	named := false
	for _, one := range r.given {
		if !contained(subject, one.from) {
			continue
		}
		named = true
		if one.filter == nil || e != nil && one.filter.Pass(e) {
			return nil
		}
	}
	var names []string
	for _, one := range r.given {
		if one.pending {
			return fmt.Errorf("%s may not send: EventPolicy %s: %w", subject, one.name, ErrPending)
		}
		names = append(names, one.name)
	}
	if named {
		return fmt.Errorf("%s may send, but not this event: no filter of EventPolicy %s passes it", subject, strings.Join(names, ", "))
	}
	return fmt.Errorf("%s may not send: EventPolicy %s does not name it", subject, strings.Join(names, ", "))
}

func (r *Rules) byDefault(subject string) error {
	switch r.mode {
	case config.AllowAll:
		return nil
	case config.AllowSameNamespace:
		if strings.HasPrefix(subject, "system:serviceaccount:"+r.namespace+":") {
			return nil
		}
		return fmt.Errorf("%s may not send: no EventPolicy applies, and %s is %s: only ServiceAccounts of namespace %s may",
			subject, config.DefaultAuthorizationMode, r.mode, r.namespace)
	}
	return fmt.Errorf("%s may not send: no EventPolicy applies, and %s is %s", subject, config.DefaultAuthorizationMode, r.mode)
}

// contained reports whether a subject is one of those given, of which one that ends in * stands for all that begin as it does.
func contained(subject string, allowed []string) bool {
	return slices.ContainsFunc(allowed, func(s string) bool {
		prefix, open := strings.CutSuffix(s, "*")
		return s == subject || open && strings.HasPrefix(subject, prefix)
	})
}

package policy

import (
	"encoding/json"
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
	"ebb.dev/ebb/eventing/filter"
)

// Target is what events are sent to. One that backs another, as an InMemoryChannel does a Channel, has two names.
type Target struct {
	Kind   schema.GroupKind
	Key    types.NamespacedName
	Labels map[string]string
	// Backs is the Channel that it backs; nil for none.
	Backs *Target
}

// TargetOf is an object of a kind as a target. The labels of a Channel that it backs are not known here.
func TargetOf(kind schema.GroupKind, o metav1.Object) Target {
	t := Target{Kind: kind, Key: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}, Labels: o.GetLabels()}
	if owner := metav1.GetControllerOf(o); owner != nil && owner.Kind == "Channel" {
		t.Backs = &Target{
			Kind: schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind(), Key: types.NamespacedName{Namespace: o.GetNamespace(), Name: owner.Name},
		}
	}
	return t
}

// Audience is that of tokens for a target, as Knative's.
func (t Target) Audience() string {
	return strings.ToLower(t.Kind.Group + "/" + t.Kind.Kind + "/" + t.Key.Namespace + "/" + t.Key.Name)
}

// Applying are the EventPolicies of a target's namespace that apply to it.
func Applying(policies []eventingv1alpha1.EventPolicy, t Target) []eventingv1alpha1.EventPolicy {
	var out []eventingv1alpha1.EventPolicy
	for i := range policies {
		p := &policies[i]
		if p.Namespace == t.Key.Namespace && p.DeletionTimestamp == nil && (applies(p, t) || t.Backs != nil && applies(p, *t.Backs)) {
			out = append(out, *p)
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

// rule is an EventPolicy that applies and is ready.
type rule struct {
	name string
	from []string
	// filter is nil if every event passes.
	filter filter.Filter
}

// NewRules compiles the EventPolicies that apply to a target. Those that are not ready let nobody send, and keep the default from letting
// anybody.
func NewRules(t Target, applying []eventingv1alpha1.EventPolicy, mode config.Flag) (*Rules, error) {
	r := &Rules{namespace: t.Key.Namespace, mode: mode}
	for i := range applying {
		p := &applying[i]
		compiled, err := filterOf(p)
		if err != nil {
			return nil, fmt.Errorf("EventPolicy %s/%s: spec.filters: %w", p.Namespace, p.Name, err)
		}
		one := rule{name: p.Name, filter: compiled}
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

// Allow says why a sender may not send an event; nil if it may. The event may be nil where Looks says that it is not needed.
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

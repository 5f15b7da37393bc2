package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const (
	till  = "system:serviceaccount:shop:till"
	other = "system:serviceaccount:bank:teller"
)

// broker is shop/default.
var broker = Target{
	Kind: schema.GroupKind{Group: "eventing.knative.dev", Kind: "Broker"}, Key: types.NamespacedName{Namespace: "shop", Name: "default"},
	Labels: map[string]string{"app": "orders"},
}

// policy is one that is ready and names senders.
func policy(from ...string) eventingv1alpha1.EventPolicy {
	p := eventingv1alpha1.EventPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}}
	p.Status = Decide(Input{Policy: &p, Authenticating: true, Subjects: from, Now: noon})
	return p
}

func to(p eventingv1alpha1.EventPolicy, targets ...eventingv1alpha1.EventPolicySpecTo) eventingv1alpha1.EventPolicy {
	p.Spec.To = targets
	return p
}

func ref(apiVersion, kind, name string) eventingv1alpha1.EventPolicySpecTo {
	return eventingv1alpha1.EventPolicySpecTo{Ref: &eventingv1alpha1.EventPolicyToReference{APIVersion: apiVersion, Kind: kind, Name: name}}
}

func selecting(kind string, labels map[string]string) eventingv1alpha1.EventPolicySpecTo {
	return eventingv1alpha1.EventPolicySpecTo{Selector: &eventingv1alpha1.EventPolicySelector{
		TypeMeta: metav1.TypeMeta{APIVersion: "eventing.knative.dev/v1", Kind: kind}, LabelSelector: metav1.LabelSelector{MatchLabels: labels},
	}}
}

func TestPoliciesApplyToWhatTheyName(t *testing.T) {
	elsewhere := policy()
	elsewhere.Namespace = "bank"
	channel := Target{Kind: schema.GroupKind{Group: "messaging.knative.dev", Kind: "InMemoryChannel"}, Key: types.NamespacedName{Namespace: "shop", Name: "letters"}}
	backing := channel
	backing.Backs = &Target{Kind: schema.GroupKind{Group: "messaging.knative.dev", Kind: "Channel"}, Key: channel.Key}
	for _, tt := range []struct {
		name    string
		policy  eventingv1alpha1.EventPolicy
		target  Target
		applies bool
	}{
		{"to all", policy(), broker, true},
		{"in another namespace", elsewhere, broker, false},
		{"by name", to(policy(), ref("eventing.knative.dev/v1", "Broker", "default")), broker, true},
		{"by name, of an older version", to(policy(), ref("eventing.knative.dev/v1beta1", "Broker", "default")), broker, true},
		{"another name", to(policy(), ref("eventing.knative.dev/v1", "Broker", "other")), broker, false},
		{"another kind", to(policy(), ref("messaging.knative.dev/v1", "Channel", "default")), broker, false},
		{"by labels", to(policy(), selecting("Broker", map[string]string{"app": "orders"})), broker, true},
		{"by others", to(policy(), selecting("Broker", map[string]string{"app": "letters"})), broker, false},
		{"the second of two", to(policy(), ref("v1", "X", "x"), ref("eventing.knative.dev/v1", "Broker", "default")), broker, true},
		{"a Channel by what backs it", to(policy(), ref("messaging.knative.dev/v1", "Channel", "letters")), backing, true},
		{"no Channel that nothing backs", to(policy(), ref("messaging.knative.dev/v1", "Channel", "letters")), channel, false},
	} {
		if got := len(Applying([]eventingv1alpha1.EventPolicy{tt.policy}, tt.target)) == 1; got != tt.applies {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if got := broker.Audience(); got != "eventing.knative.dev/broker/shop/default" {
		t.Error(got)
	}
}

func TestWhoMaySend(t *testing.T) {
	orders := policy(till)
	orders.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{Exact: map[string]string{"type": "order"}}}
	unready := policy(till)
	unready.Status = Decide(Input{Policy: &unready, Subjects: []string{till}, Now: noon})
	for _, tt := range []struct {
		name     string
		policies []eventingv1alpha1.EventPolicy
		mode     config.Flag
		subject  string
		kind     string
		allowed  bool
		why      string
	}{
		{"by default all", nil, config.AllowAll, other, "order", true, ""},
		{"by default nobody", nil, config.DenyAll, till, "order", false, "Deny-All"},
		{"by default the namespace", nil, config.AllowSameNamespace, till, "order", true, ""},
		{"by default not others", nil, config.AllowSameNamespace, other, "order", false, "only ServiceAccounts of namespace shop may"},
		{"by default not those that begin alike", nil, config.AllowSameNamespace, "system:serviceaccount:shop2:till", "order", false, ""},
		{"who is named", []eventingv1alpha1.EventPolicy{policy(other)}, config.DenyAll, other, "order", true, ""},
		{"not who is not", []eventingv1alpha1.EventPolicy{policy(other)}, config.AllowAll, till, "order", false, "EventPolicy p does not name it"},
		{"by a star", []eventingv1alpha1.EventPolicy{policy("system:serviceaccount:shop:*")}, config.DenyAll, till, "order", true, ""},
		{"not by another star", []eventingv1alpha1.EventPolicy{policy("system:serviceaccount:bank:*")}, config.DenyAll, till, "order", false, ""},
		{"any, by a star alone", []eventingv1alpha1.EventPolicy{policy("*")}, config.DenyAll, other, "order", true, ""},
		{"a star within is none", []eventingv1alpha1.EventPolicy{policy("system:*:till")}, config.DenyAll, till, "order", false, ""},
		{"an event that passes", []eventingv1alpha1.EventPolicy{orders}, config.AllowAll, till, "order", true, ""},
		{"not one that does not", []eventingv1alpha1.EventPolicy{orders}, config.AllowAll, till, "letter", false, "but not this event"},
		{"by the second policy", []eventingv1alpha1.EventPolicy{orders, policy(till)}, config.AllowAll, till, "letter", true, ""},
		{"nobody, by one that is not ready", []eventingv1alpha1.EventPolicy{unready}, config.AllowAll, till, "order", false, "not known yet whom it names"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := NewRules(broker, tt.policies, tt.mode)
			if err != nil {
				t.Fatal(err)
			}
			e := event.New()
			e.SetID("1")
			e.SetSource("/till")
			e.SetType(tt.kind)
			err = rules.Allow(tt.subject, &e)
			if (err == nil) != tt.allowed || err != nil && !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%v", err)
			}
			if !rules.Looks(tt.subject) && (rules.Allow(tt.subject, nil) == nil) != tt.allowed {
				t.Error("what needs no look at the event is decided otherwise without it")
			}
		})
	}
}

func TestAFilterThatIsNoneIsAnError(t *testing.T) {
	p := policy(till)
	p.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{CESQL: "type ="}}
	if _, err := NewRules(broker, []eventingv1alpha1.EventPolicy{p}, config.AllowAll); err == nil || !strings.Contains(err.Error(), "EventPolicy shop/p: spec.filters") {
		t.Error(err)
	}
}

func features(t *testing.T, data map[string]string) config.EventingFeatures {
	t.Helper()
	f, _, err := config.ParseEventingFeatures(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var on = map[string]string{"authentication-oidc": "enabled", "default-authorization-mode": "Deny-All"}

func TestTargetsSayWhatAppliesToThem(t *testing.T) {
	ready, unready := policy(till), policy(till)
	unready.Name, unready.Status = "u", eventingv1alpha1.EventPolicyStatus{}
	for _, tt := range []struct {
		name     string
		policies []eventingv1alpha1.EventPolicy
		features map[string]string
		want     string
		listed   int
	}{
		{"none, and nobody is asked", nil, nil, `True:OIDCDisabled:Feature "authentication-oidc" must be enabled to support Authorization`, 0},
		{"none", nil, on, `True:DefaultAuthorizationMode:Default authz mode is "Deny-All"`, 0},
		{"one that is ready", []eventingv1alpha1.EventPolicy{ready}, on, "True::", 1},
		{"one that is not", []eventingv1alpha1.EventPolicy{ready, unready}, on, "False:EventPoliciesNotReady:event policies u are not ready", 1},
	} {
		b := &eventingv1.Broker{}
		b.Status.Address = nil
		marks := b.Status.Mark(metav1.NewTime(noon))
		State(marks, eventingv1.BrokerConditionEventPoliciesReady, &b.Status.AppliedEventPoliciesStatus, tt.policies, features(t, tt.features))
		c := b.Status.GetCondition(eventingv1.BrokerConditionEventPoliciesReady)
		if got := string(c.Status) + ":" + c.Reason + ":" + c.Message; got != tt.want || len(b.Status.Policies) != tt.listed {
			t.Errorf("%s: %s, %v", tt.name, got, b.Status.Policies)
		}
	}
}

func TestAPolicySaysWhetherItIsInForce(t *testing.T) {
	p := eventingv1alpha1.EventPolicy{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
	p.Spec.From = []eventingv1alpha1.EventPolicySpecFrom{{Sub: ptr.To(till)}}
	for _, tt := range []struct {
		name  string
		in    Input
		ready string
		from  int
	}{
		{"in force", Input{Authenticating: true, Subjects: []string{till}}, "True:", 1},
		{"nobody is asked", Input{Subjects: []string{till}}, "False:OIDCAuthenticationDisabled", 1},
		{"a sender without an identity", Input{Authenticating: true, Unresolved: ErrUnauthenticated}, "False:SubjectsNotResolved", 0},
	} {
		tt.in.Policy, tt.in.Now = &p, noon
		out := Decide(tt.in)
		c := out.GetCondition(conditions.Ready)
		if got := string(c.Status) + ":" + c.Reason; got != tt.ready || len(out.From) != tt.from || out.ObservedGeneration != 2 {
			t.Errorf("%s: %s %v", tt.name, got, out.From)
		}
	}
}

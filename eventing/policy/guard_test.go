package policy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/eventrig"
)

// guarding is a Guard of broker, before something that answers 202 with the body.
func guarding(t *testing.T, settings map[string]string, policies ...eventingv1alpha1.EventPolicy) *Guard {
	f := features(t, settings)
	return &Guard{
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.Copy(w, r.Body)
		}),
		Features: func() config.EventingFeatures { return f },
		Target: func(r *http.Request) (Target, bool, error) {
			return broker, r.URL.Path == "/shop/default", nil
		},
		Policies: func(context.Context, string) ([]eventingv1alpha1.EventPolicy, error) { return policies, nil },
		Subject: func(_ context.Context, token, audience string) (string, error) {
			switch {
			case token == "unasked":
				return "", errors.New("the API server is away")
			case audience != broker.Audience() || token == "forged":
				return "", ErrUnauthenticated
			}
			return "system:serviceaccount:" + token, nil
		},
		Part: func(_ context.Context, t Target, subject string) (bool, error) {
			return t.Flow != nil && subject == step, nil
		},
		Log: slog.New(slog.DiscardHandler),
	}
}

func send(h http.Handler, path, token, kind string) *http.Response {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"a":1}`))
	for key, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Type": kind, "Ce-Source": "/till", "Ce-Id": "1"} {
		r.Header.Set(key, value)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestOnlyWhoMaySendPasses(t *testing.T) {
	orders := policy(till)
	orders.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{Exact: map[string]string{"type": "order"}}}
	for _, tt := range []struct {
		name        string
		settings    map[string]string
		path, token string
		kind        string
		want        int
	}{
		{"nobody is asked", nil, "/shop/default", "", "order", http.StatusAccepted},
		{"no token", on, "/shop/default", "", "order", http.StatusUnauthorized},
		{"a forged one", on, "/shop/default", "forged", "order", http.StatusUnauthorized},
		{"nobody to ask", on, "/shop/default", "unasked", "order", http.StatusServiceUnavailable},
		{"who may", on, "/shop/default", "shop:till", "order", http.StatusAccepted},
		{"who may, something else", on, "/shop/default", "shop:till", "letter", http.StatusForbidden},
		{"who may not", on, "/shop/default", "bank:teller", "order", http.StatusForbidden},
		{"the platform's own account", on, "/shop/default", "knative-eventing:ebb-broker", "letter", http.StatusForbidden},
		{"no event", on, "/shop/default", "shop:till", "", http.StatusBadRequest},
		{"nowhere", on, "/shop/nobody", "", "order", http.StatusAccepted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := send(guarding(t, tt.settings, orders), tt.path, tt.token, tt.kind)
			body, _ := io.ReadAll(got.Body)
			if got.StatusCode != tt.want {
				t.Errorf("%d %s", got.StatusCode, body)
			}
			if got.StatusCode == http.StatusAccepted && string(body) != `{"a":1}` {
				t.Errorf("the body that was looked at is %q afterwards", body)
			}
			if got.StatusCode == http.StatusUnauthorized && !strings.Contains(string(body), broker.Audience()) {
				t.Errorf("the audience is not named: %s", body)
			}
		})
	}
}

func TestAChangedPolicyCountsAtOnce(t *testing.T) {
	now := policy(till)
	g := guarding(t, on)
	g.Policies = func(context.Context, string) ([]eventingv1alpha1.EventPolicy, error) {
		return []eventingv1alpha1.EventPolicy{now}, nil
	}
	if got := send(g, "/shop/default", "shop:till", "order").StatusCode; got != http.StatusAccepted {
		t.Error(got)
	}
	now = policy(other)
	now.ResourceVersion = "2"
	if got := send(g, "/shop/default", "shop:till", "order").StatusCode; got != http.StatusForbidden {
		t.Error(got)
	}
}

func TestWhomAPolicyNamesIsWaitedFor(t *testing.T) {
	named := policy()
	named.Status = Decide(Input{Policy: &named, Authenticating: true, Unresolved: &nobody{"PingSource shop/p"}, Now: noon})
	missing := policy()
	missing.Status = Decide(Input{Policy: &missing, Authenticating: true, Unresolved: errors.New("PingSource shop/p not found"), Now: noon})
	unseen := policy()
	unseen.Status = eventingv1alpha1.EventPolicyStatus{}
	old := policy()
	old.Status = Decide(Input{Policy: &old, Subjects: []string{other}, Now: noon})
	for name, tt := range map[string]struct {
		policies []eventingv1alpha1.EventPolicy
		want     int
	}{
		"a sender has no account yet":            {[]eventingv1alpha1.EventPolicy{named}, http.StatusServiceUnavailable},
		"the policy was made just now":           {[]eventingv1alpha1.EventPolicy{unseen}, http.StatusServiceUnavailable},
		"the feature was turned on just now":     {[]eventingv1alpha1.EventPolicy{old}, http.StatusServiceUnavailable},
		"a sender does not exist":                {[]eventingv1alpha1.EventPolicy{missing}, http.StatusForbidden},
		"another policy lets the sender through": {[]eventingv1alpha1.EventPolicy{named, policy(till)}, http.StatusAccepted},
	} {
		if got := send(guarding(t, on, tt.policies...), "/shop/default", "shop:till", "order").StatusCode; got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// step is a Subscription of the Sequence that the channels of the test are made for.
const step = "system:serviceaccount:shop:step"

func TestWhatAFlowIsMadeOfSendsToItsOwnChannelsAlone(t *testing.T) {
	g := guarding(t, on, policy(till))
	own, foreign := broker, broker
	own.Flow = &Flow{Kind: sequenceKind, Key: types.NamespacedName{Namespace: "shop", Name: "s"}, UID: "1"}
	for _, tt := range []struct {
		name, subject string
		to            Target
		want          error
	}{
		{"a step of the flow", step, own, nil},
		{"who is named", till, own, nil},
		{"somebody else", other, own, ErrForbidden},
		{"a step of a flow elsewhere", step, foreign, ErrForbidden},
	} {
		if err := g.May(t.Context(), tt.subject, tt.to, nil); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if err := g.May(t.Context(), "", own, nil); !errors.Is(err, ErrNobody) || errors.Is(err, ErrForbidden) {
		t.Errorf("who has no account yet is refused for good: %v", err)
	}
	if err := guarding(t, nil, policy(till)).May(t.Context(), "", own, nil); err != nil {
		t.Errorf("nobody is asked: %v", err)
	}
}

// With an API server's own tokens: who they name, for whom, and what an EventPolicy makes of its senders.
func TestOnARealAPIServer(t *testing.T) {
	r := eventrig.Start(t, apiserver.Options{})
	r.Create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "till"}})
	tokens := &identity.Tokens{Client: r.Client, Clock: clock.RealClock{}}
	account := model.Account{Key: model.Key{Namespace: "default", Name: "till"}}
	token, err := tokens.Get(t.Context(), account, broker.Audience())
	if err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(r.Client, clock.RealClock{})
	for range 2 {
		if got, err := v.Subject(t.Context(), token, broker.Audience()); err != nil || got != account.Subject() {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := v.Subject(t.Context(), token, "eventing.knative.dev/broker/shop/other"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a token for another receiver: %v", err)
	}
	if _, err := v.Subject(t.Context(), "no token", broker.Audience()); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("no token: %v", err)
	}

	f := features(t, on)
	reconciler := &Reconciler{Client: r.Manager.GetClient(), Resolver: r.Resolver, Features: func() config.EventingFeatures { return f }, Clock: clock.RealClock{}}
	if err := reconciler.Setup(r.Manager); err != nil {
		t.Fatal(err)
	}
	r.Run(t)
	resolvesSenders(t, r)
}

func resolvesSenders(t *testing.T, r *eventrig.Rig) {
	source := &sourcesv1.PingSource{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}}
	p := &eventingv1alpha1.EventPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}}
	p.Spec.From = []eventingv1alpha1.EventPolicySpecFrom{
		{Sub: ptr.To(other)}, {Ref: &eventingv1alpha1.EventPolicyFromReference{APIVersion: "sources.knative.dev/v1", Kind: "PingSource", Name: "p"}},
	}
	r.Create(t, source, p)
	apiserver.Eventually(t, "a sender without an identity is told", func(ctx context.Context) bool {
		c := p.Status.GetCondition(eventingv1alpha1.EventPolicyConditionSubjectsResolved)
		return r.Client.Get(ctx, client.ObjectKeyFromObject(p), p) == nil && c != nil && c.Status == corev1.ConditionUnknown && strings.Contains(c.Message, "PingSource default/p has no identity")
	})
	p.Spec.From = append(p.Spec.From[:1], eventingv1alpha1.EventPolicySpecFrom{Sub: ptr.To(till)})
	if err := r.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, "the policy is ready", func(ctx context.Context) bool {
		return r.Client.Get(ctx, client.ObjectKeyFromObject(p), p) == nil && p.IsReady() && len(p.Status.From) == 2
	})
	p.Spec.From[1] = eventingv1alpha1.EventPolicySpecFrom{Ref: &eventingv1alpha1.EventPolicyFromReference{APIVersion: "sources.knative.dev/v1", Kind: "PingSource", Name: "p"}}
	if err := r.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	source.Status.Auth = &duck.AuthStatus{ServiceAccountName: ptr.To("p-account")}
	if err := r.Client.Status().Update(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, "the policy learns as whom its sender sends, as soon as that is known", func(ctx context.Context) bool {
		return r.Client.Get(ctx, client.ObjectKeyFromObject(p), p) == nil && p.IsReady() && slices.Contains(p.Status.From, "system:serviceaccount:default:p-account")
	})
}

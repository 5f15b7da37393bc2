package policy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/config"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
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
		Own: "system:serviceaccount:knative-eventing:ebb-events", Log: slog.New(slog.DiscardHandler),
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
		{"the platform", on, "/shop/default", "knative-eventing:ebb-events", "letter", http.StatusAccepted},
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

// With an API server's own tokens: who they name, for whom, and what an EventPolicy makes of its senders.
func TestOnARealAPIServer(t *testing.T) {
	r := eventrig.Start(t, apiserver.Options{})
	now := testclock.NewFakePassiveClock(time.Now())
	tokens := &Tokens{Client: r.Client, Account: types.NamespacedName{Namespace: "default", Name: "till"}, Clock: now}
	token, err := tokens.Get(t.Context(), broker.Audience())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := tokens.Get(t.Context(), broker.Audience()); err != nil || again != token {
		t.Errorf("a token is not used again: %v", err)
	}
	now.SetTime(now.Now().Add(lifetime * time.Second))
	if again, err := tokens.Get(t.Context(), broker.Audience()); err != nil || again == token {
		t.Errorf("a token is used too long: %v", err)
	}
	v := NewVerifier(r.Client, clock.RealClock{})
	for range 2 {
		if got, err := v.Subject(t.Context(), token, broker.Audience()); err != nil || got != tokens.Subject() {
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
		return r.Client.Get(ctx, client.ObjectKeyFromObject(p), p) == nil && c.IsFalse() && strings.Contains(c.Message, "PingSource default/p has no identity")
	})
	p.Spec.From = append(p.Spec.From[:1], eventingv1alpha1.EventPolicySpecFrom{Sub: ptr.To(till)})
	if err := r.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, "the policy is ready", func(ctx context.Context) bool {
		return r.Client.Get(ctx, client.ObjectKeyFromObject(p), p) == nil && p.IsReady() && len(p.Status.From) == 2
	})
	var account corev1.ServiceAccount
	if err := r.Client.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: "till"}, &account); err != nil {
		t.Errorf("the ServiceAccount of the tokens: %v", err)
	}
}

package identity

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/eventrig"
)

func TestAccountsAreNamedAsKnativeNamesThem(t *testing.T) {
	for _, tt := range []struct{ group, kind, name, want string }{
		{"eventing.knative.dev", "Trigger", "orders", "orders-oidc-eventing.knative.dev-trigger"},
		{"sources.knative.dev", "PingSource", "p", "p-oidc-sources.knative.dev-pingsource"},
		{"messaging.knative.dev", "Subscription", "sequence-kn-sequence-1", "sequence-kn-sequence-1-oidc-messaging.knative.dev-subscription"},
	} {
		if got := NameOf(schema.GroupKind{Group: tt.group, Kind: tt.kind}, tt.name); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

func TestASenderIsStated(t *testing.T) {
	account := model.Account{Key: model.Key{Namespace: "shop", Name: "t-account"}, UID: "1"}
	condition := eventingv1.TriggerConditionOIDCIdentityCreated
	for _, tt := range []struct {
		name                 string
		sender               Sender
		status, reason, auth string
	}{
		{"nobody is asked", Sender{}, "True", "authentication-oidc feature disabled", ""},
		{"there", Sender{Asked: true, Account: account}, "True", "", "t-account"},
		{"not to be made", Sender{Asked: true, Err: context.DeadlineExceeded}, "False", "Unable to resolve service account for OIDC authentication", ""},
	} {
		var s eventingv1.TriggerStatus
		s.Auth = &duck.AuthStatus{}
		tt.sender.State(s.Mark(metav1.NewTime(time.Unix(0, 0))), condition, &s.Auth)
		c := s.GetCondition(condition)
		name := ""
		if s.Auth != nil {
			name = *s.Auth.ServiceAccountName
		}
		if string(c.Status) != tt.status || c.Reason != tt.reason || name != tt.auth {
			t.Errorf("%s: %+v, %q", tt.name, c, name)
		}
	}
}

// rigged is a cluster whose Triggers have accounts.
type rigged struct {
	*eventrig.Rig
	accounts *Accounts
	on       atomic.Bool
	changed  chan event.GenericEvent
	settled  atomic.Int64
}

func rig(t *testing.T) *rigged {
	r := &rigged{Rig: eventrig.Start(t, apiserver.Options{}), changed: make(chan event.GenericEvent)}
	r.accounts = &Accounts{
		Client: r.Manager.GetClient(), Reader: r.Manager.GetAPIReader(), Changes: func() <-chan event.GenericEvent { return r.changed },
		Features: func() config.EventingFeatures {
			f, _, err := config.ParseEventingFeatures(map[string]string{string(config.AuthenticationOIDC): map[bool]string{true: "enabled", false: "disabled"}[r.on.Load()]})
			if err != nil {
				t.Error(err)
			}
			return f
		},
	}
	b := r.accounts.Watch(ctrl.NewControllerManagedBy(r.Manager).For(&eventingv1.Trigger{}), &eventingv1.TriggerList{})
	if err := b.Complete(reconcile.Func(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
		var trigger eventingv1.Trigger
		if err := r.Manager.GetClient().Get(ctx, request.NamespacedName, &trigger); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		s := r.accounts.Settle(ctx, &trigger)
		r.settled.Add(1)
		return ctrl.Result{}, s.Err
	})); err != nil {
		t.Fatal(err)
	}
	r.Run(t)
	return r
}

func (r *rigged) turn(t *testing.T, on bool) {
	r.on.Store(on)
	select {
	case r.changed <- event.GenericEvent{Object: &corev1.ConfigMap{}}:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody listens for changed features")
	}
}

func (r *rigged) account(ctx context.Context, name string) (*corev1.ServiceAccount, error) {
	var out corev1.ServiceAccount
	return &out, r.Client.Get(ctx, types.NamespacedName{Namespace: "default", Name: name}, &out)
}

const ofT = "t-oidc-eventing.knative.dev-trigger"

func TestOnARealAPIServer(t *testing.T) {
	r := rig(t)
	t.Run("accounts come and go with the feature", r.comesAndGoes)
	t.Run("an account of somebody else is not taken", r.takesNoOther)
	t.Run("tokens are of one account and renewed before their end", r.renews)
}

func (r *rigged) comesAndGoes(t *testing.T) {
	trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "t"}}
	r.Create(t, trigger)
	apiserver.Eventually(t, "it is looked at", func(context.Context) bool { return r.settled.Load() > 0 })
	if _, err := r.account(t.Context(), ofT); !apierrors.IsNotFound(err) {
		t.Errorf("an account that nobody asks for: %v", err)
	}
	r.turn(t, true)
	var first types.UID
	apiserver.Eventually(t, "there is an account", func(ctx context.Context) bool {
		have, err := r.account(ctx, ofT)
		first = have.UID
		return err == nil && metav1.IsControlledBy(have, trigger) && have.Labels[LabelKey] == "enabled"
	})
	if have, err := r.account(t.Context(), ofT); err != nil || r.Client.Delete(t.Context(), have) != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, "one that was deleted is made again", func(ctx context.Context) bool {
		have, err := r.account(ctx, ofT)
		return err == nil && have.UID != first
	})
	r.turn(t, false)
	apiserver.Eventually(t, "it is taken away", func(ctx context.Context) bool {
		_, err := r.account(ctx, ofT)
		return apierrors.IsNotFound(err)
	})
}

func (r *rigged) takesNoOther(t *testing.T) {
	name := "other-oidc-eventing.knative.dev-trigger"
	r.Create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}})
	trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "other"}}
	r.Create(t, trigger)
	r.on.Store(true)
	for range 2 { // as the cache has it, and as it does not
		s := r.accounts.Settle(t.Context(), trigger)
		if s.Err == nil || s.Account.Key.Name != "" || !strings.Contains(s.Err.Error(), "does not belong to this object; delete it") {
			t.Errorf("%+v", s)
		}
		apiserver.Eventually(t, "the cache has it", func(ctx context.Context) bool {
			return r.Manager.GetClient().Get(ctx, types.NamespacedName{Namespace: "default", Name: name}, &corev1.ServiceAccount{}) == nil
		})
	}
	r.on.Store(false)
	if s := r.accounts.Settle(t.Context(), trigger); s.Err != nil {
		t.Error(s.Err)
	}
	if _, err := r.account(t.Context(), name); err != nil {
		t.Errorf("an account of somebody else was taken away: %v", err)
	}
}

func (r *rigged) renews(t *testing.T) {
	accounts := []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "till"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "teller"}},
	}
	r.Create(t, accounts...)
	till := model.Account{Key: model.Key{Namespace: "default", Name: "till"}, UID: accounts[0].GetUID()}
	teller := model.Account{Key: model.Key{Namespace: "default", Name: "teller"}, UID: accounts[1].GetUID()}
	now := testclock.NewFakePassiveClock(time.Now())
	tokens := &Tokens{Client: r.Client, Clock: now}
	get := func(as model.Account, audience string) string {
		t.Helper()
		text, err := tokens.Get(t.Context(), as, audience)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := get(till, "a")
	if get(till, "a") != first {
		t.Error("a token is not used again")
	}
	if get(teller, "a") == first || get(till, "b") == first {
		t.Error("a token is used for somebody else, or somewhere else")
	}
	if tokens.Doubt(till, "a", first) {
		t.Error("a token that was just made is as good as any")
	}
	now.SetTime(now.Now().Add(2 * young))
	for range 2 { // however many were sent with it
		if !tokens.Doubt(till, "a", first) {
			t.Error("there is no other one for a token that was not taken")
		}
	}
	second := get(till, "a")
	if second == first {
		t.Error("a token that was not taken is used again")
	}
	now.SetTime(now.Now().Add(lifetime / 2 * time.Second))
	third := get(till, "a")
	if third == second {
		t.Error("a token is not renewed at half its life")
	}
	if err := r.Client.Delete(t.Context(), accounts[0]); err != nil {
		t.Fatal(err)
	}
	now.SetTime(now.Now().Add(lifetime / 4 * time.Second))
	if get(till, "a") != third {
		t.Error("a token that holds is not used while there is no other")
	}
	now.SetTime(now.Now().Add(lifetime / 4 * time.Second))
	if _, err := tokens.Get(t.Context(), till, "a"); err == nil || !strings.Contains(err.Error(), "default/till") {
		t.Errorf("a token past its end is used: %v", err)
	}
	if _, err := tokens.Get(t.Context(), model.Account{}, "a"); err == nil {
		t.Error("nobody has a token")
	}
}

package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	debug "ebb.dev/ebb/cmd/ebb/broker"
	"ebb.dev/ebb/crds/conditions"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/broker"
)

// answered is an API whose event broker states a Trigger's condition about its reading once the Trigger is watched.
func answered(t *testing.T, trigger *eventingv1.Trigger, state func(*conditions.Condition)) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := eventingv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&eventingv1.Trigger{}).
		WithIndex(&eventingv1.Trigger{}, "metadata.name", func(o client.Object) []string { return []string{o.GetName()} })
	if trigger != nil {
		builder = builder.WithObjects(trigger)
	}
	return builder.WithInterceptorFuncs(interceptor.Funcs{
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) (w watch.Interface, err error) {
			if w, err = c.Watch(ctx, list, o...); err != nil || state == nil {
				return w, err
			}
			var now eventingv1.Trigger
			if err := c.Get(ctx, client.ObjectKeyFromObject(trigger), &now); err != nil {
				return nil, err
			}
			for i := range now.Status.Conditions {
				state(&now.Status.Conditions[i])
			}
			return w, c.Status().Update(ctx, &now)
		},
	}).Build()
}

func aTrigger(paused bool) *eventingv1.Trigger {
	t := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "mail"}}
	marks := t.Status.Mark(metav1.Now())
	for _, c := range []conditions.Type{
		eventingv1.TriggerConditionBroker, eventingv1.TriggerConditionSubscribed, eventingv1.TriggerConditionDependency,
		eventingv1.TriggerConditionSubscriberResolved, eventingv1.TriggerConditionDeadLetterSinkResolved, eventingv1.TriggerConditionOIDCIdentityCreated,
	} {
		marks.MarkTrue(c)
	}
	if paused {
		t.Annotations = map[string]string{broker.PausedKey: "true"}
		broker.StatePaused(marks, eventingv1.TriggerConditionSubscribed)
	}
	return t
}

func TestATriggerIsPausedInTheAPIAndResumed(t *testing.T) {
	for _, paused := range []bool{true, false} {
		trigger := aTrigger(!paused)
		key := client.ObjectKeyFromObject(trigger)
		c := answered(t, trigger, func(c *conditions.Condition) {
			if c.Type == eventingv1.TriggerConditionSubscribed {
				c.Reason = map[bool]string{true: broker.ReasonPaused}[paused]
			}
		})
		got, err := setPaused(t.Context(), c, key, paused)
		if err != nil {
			t.Fatal(err)
		}
		if got.Paused != paused || got.Delivering == paused {
			t.Errorf("%+v", got)
		}
		var now eventingv1.Trigger
		if err := c.Get(t.Context(), key, &now); err != nil {
			t.Fatal(err)
		}
		if has := now.Annotations[broker.PausedKey] == "true"; has != paused {
			t.Errorf("annotations %v", now.Annotations)
		}
		// Again, nothing is to be waited for.
		if _, err := setPaused(t.Context(), answered(t, &now, nil), key, paused); err != nil {
			t.Error(err)
		}
	}
}

func TestATriggerThatIsNotReadIsPausedAtOnce(t *testing.T) {
	trigger := aTrigger(false)
	trigger.Status.Mark(metav1.Now()).MarkFalse(eventingv1.TriggerConditionSubscribed, "NotSubscribed", "the filter is wrong")
	c := answered(t, trigger, nil)
	if got, err := setPaused(t.Context(), c, client.ObjectKeyFromObject(trigger), false); err != nil || got.Delivering || got.Why != "the filter is wrong" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestABrokerThatDoesNotListenIsTold(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	trigger := aTrigger(false)
	c := answered(t, trigger, func(c *conditions.Condition) {
		if c.Type == conditions.Ready && c.Status == corev1.ConditionTrue {
			cancel(errNotTakenOver)
		}
	})
	_, err := setPaused(ctx, c, client.ObjectKeyFromObject(trigger), true)
	if err == nil || !strings.Contains(err.Error(), "ebb logs broker") {
		t.Error(err)
	}
	_, err = setPaused(t.Context(), answered(t, nil, nil), client.ObjectKeyFromObject(trigger), true)
	if err == nil || !strings.Contains(err.Error(), "Trigger shop/mail does not exist") {
		t.Error(err)
	}
}

func TestPausedTriggersAreShown(t *testing.T) {
	var b bytes.Buffer
	if err := writeTriggers(&b, []debug.TriggerState{{Name: "a", Paused: true, Waiting: true}, {Name: "b", Waiting: true}, {Name: "c"}}); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"STATE", "paused", "no subscriber", "delivering"} {
		if !strings.Contains(b.String(), words) {
			t.Errorf("%q is missing in\n%s", words, b.String())
		}
	}
}

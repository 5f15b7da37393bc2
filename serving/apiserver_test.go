package serving_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// The promises that take an API server to keep. One rig serves all of them, each in a namespace of its own.
func TestOnARealAPIServer(t *testing.T) {
	r := startRig(t)
	for _, promise := range []struct {
		name string
		test func(*testing.T, *rig)
	}{
		{"ANewServiceCostsAtMostFifteenWrites", aNewServiceCostsAtMostFifteenWrites},
		{"NothingIsWrittenWhenNothingHasChanged", nothingIsWrittenWhenNothingHasChanged},
		{"NothingIsWrittenUntilAWakeIsThrough", nothingIsWrittenUntilAWakeIsThrough},
		{"ANewRevisionTakesOver", aNewRevisionTakesOver},
		{"TrafficGoesBackWhereItIsPointed", trafficGoesBackWhereItIsPointed},
		{"ARolloutMovesTrafficInSteps", aRolloutMovesTrafficInSteps},
		{"AMissingRevisionIsToldAndAwaited", aMissingRevisionIsToldAndAwaited},
		{"AnImageThatCannotBeHadIsToldEverywhere", anImageThatCannotBeHadIsToldEverywhere},
		{"ACrashIsToldEverywhere", aCrashIsToldEverywhere},
		{"ACrashOnAWakeEndsWithTheWake", aCrashOnAWakeEndsWithTheWake},
		{"AMissedDeadlineIsTold", aMissedDeadlineIsTold},
		{"ATakenHostIsTold", aTakenHostIsTold},
		{"WhatIsAnothersIsToldAndLeftAlone", whatIsAnothersIsToldAndLeftAlone},
		{"RoutesWithoutServicesWork", routesWithoutServicesWork},
		{"OldRevisionsAreCollected", oldRevisionsAreCollected},
		{"ADeletedServiceTakesItsChildrenAlong", aDeletedServiceTakesItsChildrenAlong},
		{"TheProxyMovesWithTheNamespacesLabel", theProxyMovesWithTheNamespacesLabel},
		{"KubectlShowsHowServicesFare", kubectlShowsHowServicesFare},
		{"EveryChildKnowsItsOwner", everyChildKnowsItsOwner},
		{"ARevisionNeverChanges", aRevisionNeverChanges},
		{"AnnotationsCountInEitherSpelling", annotationsCountInEitherSpelling},
		{"TheGuidesServicesBecomeReady", theGuidesServicesBecomeReady},
		{"TheGuidesCanaryHeals", theGuidesCanaryHeals},
		{"AHundredServicesAtOnceBecomeReady", aHundredServicesAtOnceBecomeReady},
		{"ARestartWritesNothing", aRestartWritesNothing},
	} {
		t.Run(promise.name, func(t *testing.T) { promise.test(t, r) })
	}
}

// newService is a Service of one container, asleep from the beginning.
func newService(namespace, name string) *servingv1.Service {
	s := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.Template.Annotations = map[string]string{"autoscaling.knative.dev/initial-scale": "0"}
	s.Spec.Template.Spec.Containers = []corev1.Container{{Image: "shop:v1"}}
	return s
}

func (r *rig) create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := r.api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until the Service is as it should be, and returns it. If that takes a minute it shows what there is instead.
func (r *rig) eventually(t *testing.T, namespace, name, what string, holds func(*servingv1.Service) bool) *servingv1.Service {
	t.Helper()
	s := &servingv1.Service{}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if r.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, s) == nil && holds(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("not so in time: %s\n%s", what, r.Kubectl(t, "", "get", "ksvc,cfg,rt,rev,king,kpa,deploy,pod", "-n", namespace, "-o", "yaml"))
		}
	}
}

func (r *rig) ready(t *testing.T, namespace, name string) *servingv1.Service {
	t.Helper()
	return r.eventually(t, namespace, name, "Service "+name+" is ready", (*servingv1.Service).IsReady)
}

// get reads an object that must be there.
func get[T client.Object](t *testing.T, r *rig, namespace, name string, into T) T {
	t.Helper()
	if err := r.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// change edits a Service, again if somebody else did meanwhile.
func (r *rig) change(t *testing.T, namespace, name string, edit func(*servingv1.Service)) {
	t.Helper()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		s := get(t, r, namespace, name, &servingv1.Service{})
		edit(s)
		return r.api.Update(t.Context(), s)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// condition is what a Service says of itself: the status, reason and message of a condition.
func condition(s *servingv1.Service, of conditions.Type) string {
	c := s.Status.GetCondition(of)
	if c == nil || s.Status.ObservedGeneration != s.Generation {
		return ""
	}
	return string(c.Status) + " " + c.Reason + ": " + c.Message
}

// quiet waits until nothing has been written in namespace for a while, and returns all that has.
func (r *rig) quiet(t *testing.T, namespace string) []string {
	t.Helper()
	for before := -1; ; time.Sleep(stillness) {
		writes := r.writes.of(namespace)
		if len(writes) == before {
			return writes
		}
		before = len(writes)
	}
}

package flow

import (
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"ebb.dev/ebb/crds"
	"ebb.dev/ebb/crds/duck"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
)

// TestTheControllersFitAManager holds names, kinds and indexes together. Nothing is started, so nothing is asked of the API.
func TestTheControllersFitAManager(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{crds.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind := range scheme.AllKnownTypes() {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	m, err := ctrl.NewManager(&rest.Config{Host: "http://127.0.0.1:1"}, ctrl.Options{
		Scheme: scheme, Metrics: server.Options{BindAddress: "0"},
		// The names are the process's, and the test may run in it twice.
		Controller:     config.Controller{SkipNameValidation: ptr.To(true)},
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Reconciler{Client: m.GetClient()}).Setup(t.Context(), m); err != nil {
		t.Error(err)
	}
}

func TestReferencesToOneObjectHaveOneKey(t *testing.T) {
	want := "InMemoryChannel.messaging.knative.dev/shop/orders"
	for _, ref := range []duck.KReference{
		{APIVersion: "messaging.knative.dev/v1", Kind: "InMemoryChannel", Name: "orders"},
		{APIVersion: "messaging.knative.dev/v1beta1", Kind: "InMemoryChannel", Name: "orders", Namespace: "shop"},
		{Group: "messaging.knative.dev", Kind: "InMemoryChannel", Name: "orders"},
	} {
		if got := keyOf(ref, "shop"); got != want {
			t.Errorf("%+v has the key %s, want %s", ref, got, want)
		}
	}
	s := &messagingv1.Subscription{}
	s.Namespace = "shop"
	s.Spec.Subscriber, s.Spec.Delivery = to("event-display"), &duck.DeliverySpec{DeadLetterSink: to("graves")}
	if got := byDestination(s); len(got) != 2 || got[0] != "Service/shop/event-display" || got[1] != "Service/shop/graves" {
		t.Errorf("destinations %v", got)
	}
}

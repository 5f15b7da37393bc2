package apiserver

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/manifests"
	"ebb.dev/ebb/crds/serving"
)

// Webhooks is how admission is asked: a handler, and the registrations that send to it. They are the caller's, so that the tests of
// admission itself can use this package.
type Webhooks struct {
	Handler       http.Handler
	Registrations func(at func(path string) admissionregistrationv1.WebhookClientConfig) []client.Object
}

// Scheme knows Kubernetes' kinds and ours.
func Scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, crds.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// Install creates the system namespace, definitions, webhooks and ConfigMaps, and waits until they are in force.
func Install(t testing.TB, api client.Client, w Webhooks) {
	t.Helper()
	create := func(object client.Object) {
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatalf("create %T %s: %v", object, object.GetName(), err)
		}
	}
	create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: serving.SystemNamespace}})
	err := api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	if client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	for _, definition := range manifests.CustomResourceDefinitions() {
		create(definition)
	}
	for _, definition := range manifests.CustomResourceDefinitions() {
		waitEstablished(t, api, definition.Name)
	}
	server := httptest.NewTLSServer(w.Handler)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for _, registration := range w.Registrations(func(path string) admissionregistrationv1.WebhookClientConfig {
		url := server.URL + path
		return admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca}
	}) {
		create(registration)
	}
	for _, m := range manifests.ConfigMaps() {
		create(m)
	}
	waitAdmission(t, api)
}

func waitEstablished(t testing.TB, api client.Client, name string) {
	t.Helper()
	Eventually(t, "definition "+name+" is established", func(ctx context.Context) bool {
		var definition apiextensionsv1.CustomResourceDefinition
		if err := api.Get(ctx, client.ObjectKey{Name: name}, &definition); err != nil {
			return false
		}
		established := false
		for _, condition := range definition.Status.Conditions {
			if condition.Type == apiextensionsv1.NonStructuralSchema && condition.Status == apiextensionsv1.ConditionTrue {
				t.Fatalf("%s: %s", name, condition.Message)
			}
			established = established || condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue
		}
		return established
	})
}

// waitAdmission waits until the API server has heard of the webhooks: it refuses what only they refuse.
func waitAdmission(t testing.TB, api client.Client) {
	t.Helper()
	Eventually(t, "the webhooks answer", func(ctx context.Context) bool {
		bad := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: serving.SystemNamespace, Name: config.GCName, Labels: map[string]string{"app.kubernetes.io/name": serving.SystemNamespace},
			},
			Data: map[string]string{"min-non-active-revisions": "many"},
		}
		err := api.Create(ctx, bad, client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "many")
	})
}

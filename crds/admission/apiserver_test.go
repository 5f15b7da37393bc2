package admission

import (
	"context"
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds"
	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/manifests"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// The API server itself reads the definitions, asks the webhooks and answers kubectl.
func TestARealAPIServerServesTheKinds(t *testing.T) {
	c := startCluster(t)
	api := c.typed(t)
	c.install(t, api)

	t.Run("the guide's services", func(t *testing.T) { guideThroughKubectl(t, c) })
	t.Run("columns", func(t *testing.T) { columns(t, c, api) })
	t.Run("refusals", func(t *testing.T) { refusals(t, c) })
	t.Run("explain", func(t *testing.T) {
		if got := c.kubectl(t, "", "explain", "ksvc.spec.template.spec.hostNetwork"); !strings.Contains(got, "Open with kubernetes.podspec-hostnetwork") {
			t.Error(got)
		}
		if got := c.kubectl(t, "", "explain", "ksvc.spec.traffic.percent"); !strings.Contains(got, "from 0 to 100") {
			t.Error(got)
		}
	})
	t.Run("every other kind", func(t *testing.T) { otherKinds(t, c, api) })
}

func (c *cluster) typed(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, crds.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(c.client, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// install creates the namespace, definitions, ConfigMaps and webhooks, and waits until the kinds are served.
func (c *cluster) install(t *testing.T, api client.Client) {
	t.Helper()
	ctx := t.Context()
	create := func(object client.Object) {
		if err := api.Create(ctx, object); err != nil {
			t.Fatalf("create %T %s: %v", object, object.GetName(), err)
		}
	}
	create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "knative-serving"}})
	if err := client.IgnoreAlreadyExists(api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})); err != nil {
		t.Fatal(err)
	}
	for _, definition := range manifests.CustomResourceDefinitions() {
		create(definition)
	}
	for _, definition := range manifests.CustomResourceDefinitions() {
		waitEstablished(t, api, definition.Name)
	}
	set := shipped(t)
	server := httptest.NewTLSServer(NewHandler(func() *config.Set { return set }, slog.New(slog.DiscardHandler)))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	at := func(path string) admissionregistrationv1.WebhookClientConfig {
		url := server.URL + path
		return admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca}
	}
	create(Mutating(at))
	create(Validating(at))
	create(Config(at))
	for _, m := range manifests.ConfigMaps() {
		create(m)
	}
	waitAdmission(t, api)
}

func waitEstablished(t *testing.T, api client.Client, name string) {
	t.Helper()
	eventually(t, "definition "+name+" is established", func(ctx context.Context) bool {
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
func waitAdmission(t *testing.T, api client.Client) {
	t.Helper()
	eventually(t, "the webhooks answer", func(ctx context.Context) bool {
		bad := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "knative-serving", Name: config.GCName, Labels: map[string]string{"app.kubernetes.io/name": "knative-serving"}},
			Data:       map[string]string{"min-non-active-revisions": "many"},
		}
		err := api.Create(ctx, bad, client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "many")
	})
}

func eventually(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for !holds(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("not so in time: %s", what)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// guideThroughKubectl applies the guide's files, twice: the second time nothing may be refused or changed.
func guideThroughKubectl(t *testing.T, c *cluster) {
	files, err := filepath.Glob(filepath.Join(guide(t), "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var services []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(data), "\n---") {
			if strings.Contains(document, "apiVersion: serving.knative.dev/v1") && strings.Contains(document, "\nkind: Service") {
				services = append(services, document)
			}
		}
	}
	for range 2 {
		got := c.kubectl(t, strings.Join(services, "\n---\n"), "apply", "-f", "-")
		if n := strings.Count(got, "service.serving.knative.dev/"); n != len(services) || strings.Contains(got, "Error") {
			t.Errorf("%d of %d services applied: %s", n, len(services), got)
		}
	}
	if got := c.kubectl(t, "", "get", "ksvc", "hello-world", "-o", "jsonpath={.metadata.generation}"); got != "1" {
		t.Errorf("hello-world, applied twice, is of generation %s", got)
	}
}

func columns(t *testing.T, c *cluster, api client.Client) {
	service := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "columns"}}
	service.Spec.Template.Spec.Containers = []corev1.Container{{Image: "shop:v1"}}
	if err := api.Create(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	if service.Annotations["serving.knative.dev/creator"] != "admin" || service.Spec.Template.Spec.Containers[0].Name != "user-container" {
		t.Errorf("not completed: %+v", service)
	}
	service.Status.URL = "http://columns.default.example.com"
	service.Status.LatestCreatedRevisionName = "columns-00002"
	service.Status.LatestReadyRevisionName = "columns-00001"
	m := service.Status.Mark(metav1.Now())
	m.Initialize()
	m.RouteNotYetReady()
	if err := api.Status().Update(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	want := "NAME URL LATESTCREATED LATESTREADY READY REASON columns http://columns.default.example.com columns-00002 columns-00001 Unknown TrafficNotMigrated"
	if got := strings.Join(strings.Fields(c.kubectl(t, "", "get", "ksvc", "columns")), " "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if got := c.kubectl(t, "", "get", "knative,king,kpa,rt,rev,cfg", "-A"); strings.Contains(got, "rror") || !strings.Contains(got, "service.serving.knative.dev/columns") {
		t.Errorf("categories and short names: %s", got)
	}
}

func refusals(t *testing.T, c *cluster) {
	for what, manifest := range map[string]string{
		"spec.template.spec.hostNetwork: must not be set":                       shop + "      hostNetwork: true\n",
		"spec.template.spec.containers[0].lifecycle: must not be set":           shop + "        lifecycle: {preStop: {exec: {command: [a]}}}\n",
		"Service default/shop: spec.traffic[0].percent: 50, must add up to 100": shop + "  traffic: [{percent: 50}]\n",
		`unknown field "spec.template.spec.nonsense"`:                           shop + "      nonsense: true\n",
	} {
		if got := c.kubectl(t, manifest, "apply", "-f", "-"); !strings.Contains(got, what) {
			t.Errorf("got %s\nwant %s", got, what)
		}
	}
	for patch, want := range map[string]string{
		`{"data":{"ingress.class":"kourier.ingress.networking.knative.dev","read-timeout":"10s"}}`: "configmap/config-network patched",
		`{"data":{"domain-template":"{{.Nope}}"}}`:                                                 "ConfigMap knative-serving/config-network: domain-template:",
	} {
		if got := c.kubectl(t, "", "patch", "configmap/config-network", "-n", "knative-serving", "--type", "merge", "--patch", patch); !strings.Contains(got, want) {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

func otherKinds(t *testing.T, c *cluster, api client.Client) {
	meta := metav1.ObjectMeta{Namespace: "default", Name: "other"}
	hundred := int64(100)
	template := servingv1.RevisionTemplateSpec{}
	template.Spec.Containers = []corev1.Container{{Image: "shop:v1"}}
	backend := networkingv1alpha1.IngressBackend{ServiceNamespace: "default", ServiceName: "other", ServicePort: intstr.FromInt32(80)}
	for _, kind := range []struct {
		short, header string
		object        client.Object
	}{
		{"cfg", "NAME LATESTCREATED LATESTREADY READY REASON",
			&servingv1.Configuration{ObjectMeta: meta, Spec: servingv1.ConfigurationSpec{Template: template}}},
		{"rev", "NAME CONFIG NAME GENERATION READY REASON ACTUAL REPLICAS DESIRED REPLICAS",
			&servingv1.Revision{ObjectMeta: meta, Spec: template.Spec}},
		{"rt", "NAME URL READY REASON",
			&servingv1.Route{ObjectMeta: meta, Spec: servingv1.RouteSpec{Traffic: []servingv1.TrafficTarget{{ConfigurationName: "other", Percent: &hundred}}}}},
		{"king", "NAME READY REASON",
			&networkingv1alpha1.Ingress{ObjectMeta: meta, Spec: networkingv1alpha1.IngressSpec{Rules: []networkingv1alpha1.IngressRule{{
				HTTP: &networkingv1alpha1.HTTPIngressRuleValue{Paths: []networkingv1alpha1.HTTPIngressPath{{
					Splits: []networkingv1alpha1.IngressBackendSplit{{IngressBackend: backend}}}}}}}}}},
		{"kpa", "NAME DESIREDSCALE ACTUALSCALE READY REASON",
			&autoscalingv1alpha1.PodAutoscaler{ObjectMeta: meta, Spec: autoscalingv1alpha1.PodAutoscalerSpec{
				ProtocolType: "http1", ScaleTargetRef: corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "other"}}}},
	} {
		if err := api.Create(t.Context(), kind.object); err != nil {
			t.Errorf("%s: %v", kind.short, err)
			continue
		}
		if err := api.Status().Update(t.Context(), kind.object); err != nil {
			t.Errorf("%s: status: %v", kind.short, err)
		}
		header, _, _ := strings.Cut(c.kubectl(t, "", "get", kind.short, "other"), "\n")
		if got := strings.Join(strings.Fields(header), " "); got != kind.header {
			t.Errorf("%s:\n got %s\nwant %s", kind.short, got, kind.header)
		}
		if err := api.Delete(t.Context(), kind.object); err != nil {
			t.Errorf("%s: %v", kind.short, err)
		}
	}
}

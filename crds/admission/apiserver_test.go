package admission

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/test/apiserver"
)

// The API server itself reads the definitions, asks the webhooks and answers kubectl.
func TestARealAPIServerServesTheKinds(t *testing.T) {
	c := apiserver.Start(t, apiserver.Options{})
	api := c.Client(t, apiserver.Scheme(t))
	apiserver.Install(t, api, webhooks(t))

	t.Run("the guide's services", func(t *testing.T) { guideThroughKubectl(t, c) })
	t.Run("columns", func(t *testing.T) { columns(t, c, api) })
	t.Run("refusals", func(t *testing.T) { refusals(t, c) })
	t.Run("explain", func(t *testing.T) {
		if got := c.Kubectl(t, "", "explain", "ksvc.spec.template.spec.hostNetwork"); !strings.Contains(got, "Open with kubernetes.podspec-hostnetwork") {
			t.Error(got)
		}
		if got := c.Kubectl(t, "", "explain", "ksvc.spec.traffic.percent"); !strings.Contains(got, "from 0 to 100") {
			t.Error(got)
		}
	})
	t.Run("every other kind", func(t *testing.T) { otherKinds(t, c, api) })
	t.Run("the guide's events", func(t *testing.T) { guidesEvents(t, c) })
	t.Run("every kind of events", func(t *testing.T) { eventKinds(t, c, api) })
	t.Run("both versions of EventType", func(t *testing.T) { bothVersions(t, c) })
	t.Run("refusals of events", func(t *testing.T) { eventRefusals(t, c, api) })
}

// webhooks are those of this package, as the shipped ConfigMaps have them.
func webhooks(t *testing.T) apiserver.Webhooks {
	set := shipped(t)
	return apiserver.Webhooks{
		Handler: NewHandler(func() *config.Set { return set }, slog.New(slog.DiscardHandler)),
		Registrations: func(at func(string) admissionregistrationv1.WebhookClientConfig) []client.Object {
			return []client.Object{Mutating(at), Validating(at), Config(at)}
		},
	}
}

// guideThroughKubectl applies the guide's files, twice: the second time nothing may be refused or changed.
func guideThroughKubectl(t *testing.T, c *apiserver.Cluster) {
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
		got := c.Kubectl(t, strings.Join(services, "\n---\n"), "apply", "-f", "-")
		if n := strings.Count(got, "service.serving.knative.dev/"); n != len(services) || strings.Contains(got, "Error") {
			t.Errorf("%d of %d services applied: %s", n, len(services), got)
		}
	}
	if got := c.Kubectl(t, "", "get", "ksvc", "hello-world", "-o", "jsonpath={.metadata.generation}"); got != "1" {
		t.Errorf("hello-world, applied twice, is of generation %s", got)
	}
}

func columns(t *testing.T, c *apiserver.Cluster, api client.Client) {
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
	if got := strings.Join(strings.Fields(c.Kubectl(t, "", "get", "ksvc", "columns")), " "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if got := c.Kubectl(t, "", "get", "knative,king,kpa,rt,rev,cfg", "-A"); strings.Contains(got, "rror") || !strings.Contains(got, "service.serving.knative.dev/columns") {
		t.Errorf("categories and short names: %s", got)
	}
}

func refusals(t *testing.T, c *apiserver.Cluster) {
	for what, manifest := range map[string]string{
		"spec.template.spec.hostNetwork: must not be set":                       shop + "      hostNetwork: true\n",
		"spec.template.spec.containers[0].lifecycle: must not be set":           shop + "        lifecycle: {preStop: {exec: {command: [a]}}}\n",
		"Service default/shop: spec.traffic[0].percent: 50, must add up to 100": shop + "  traffic: [{percent: 50}]\n",
		`unknown field "spec.template.spec.nonsense"`:                           shop + "      nonsense: true\n",
	} {
		if got := c.Kubectl(t, manifest, "apply", "-f", "-"); !strings.Contains(got, what) {
			t.Errorf("got %s\nwant %s", got, what)
		}
	}
	for patch, want := range map[string]string{
		`{"data":{"ingress.class":"kourier.ingress.networking.knative.dev","read-timeout":"10s"}}`: "configmap/config-network patched",
		`{"data":{"domain-template":"{{.Nope}}"}}`:                                                 "ConfigMap knative-serving/config-network: domain-template:",
	} {
		if got := c.Kubectl(t, "", "patch", "configmap/config-network", "-n", "knative-serving", "--type", "merge", "--patch", patch); !strings.Contains(got, want) {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

func otherKinds(t *testing.T, c *apiserver.Cluster, api client.Client) {
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
		header, _, _ := strings.Cut(c.Kubectl(t, "", "get", kind.short, "other"), "\n")
		if got := strings.Join(strings.Fields(header), " "); got != kind.header {
			t.Errorf("%s:\n got %s\nwant %s", kind.short, got, kind.header)
		}
		if err := api.Delete(t.Context(), kind.object); err != nil {
			t.Errorf("%s: %v", kind.short, err)
		}
	}
}

package admission

import (
	"encoding/json"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/config"
)

var (
	serviceKind       = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}
	revisionKind      = serviceKind.GroupVersion().WithKind("Revision")
	routeKind         = serviceKind.GroupVersion().WithKind("Route")
	configurationKind = serviceKind.GroupVersion().WithKind("Configuration")
	ingressKind       = schema.GroupVersionKind{Group: "networking.internal.knative.dev", Version: "v1alpha1", Kind: "Ingress"}
	autoscalerKind    = schema.GroupVersionKind{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Kind: "PodAutoscaler"}
	configMapKind     = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
)

func encode(t testing.TB, object any) []byte {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// create asks for the object that manifest describes, in namespace default, as alice.
func create(t testing.TB, kind schema.GroupVersionKind, manifest string) Request {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	var meta struct {
		Metadata struct{ Name, Namespace string }
	}
	if err := json.Unmarshal(data, &meta); err != nil {
		t.Fatal(err)
	}
	namespace := meta.Metadata.Namespace
	if namespace == "" {
		namespace = "default"
	}
	return Request{Kind: kind, Operation: admissionv1.Create, Namespace: namespace, Name: meta.Metadata.Name, User: "alice", New: data}
}

const shop = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: shop, namespace: default}
spec:
  template:
    spec:
      containers:
      - image: shop:v1
`

func TestARefusalNamesObjectFieldAndRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		kind     schema.GroupVersionKind
		manifest string
		want     string
	}{
		"a split that does not add up": {serviceKind, shop + `
  traffic:
  - {revisionName: shop-1, percent: 30}
  - {latestRevision: true, percent: 80}
`, `Service default/shop: spec.traffic[1].percent: 30 + 80 = 110, must add up to 100`},
		"a field that revisions do not have": {serviceKind, shop + `
      hostNetwork: true
`, `Service default/shop: spec.template.spec.hostNetwork: must not be set; remove it, or set kubernetes.podspec-hostnetwork to Enabled in ConfigMap knative-serving/config-features`},
		"a field that does not exist": {serviceKind, strings.Replace(shop, "image:", "imaeg:", 1),
			`Service default/shop: spec.template.spec.containers[0].imaeg: unknown field, remove it or correct its spelling`},
		"no image": {serviceKind, strings.Replace(shop, "image: shop:v1", "name: app", 1),
			`Service default/shop: spec.template.spec.containers[0].image: missing, name an image`},
		"a reserved port": {serviceKind, shop + `
        ports: [{containerPort: 8012}]
`, `Service default/shop: spec.template.spec.containers[0].ports[0].containerPort: 8012, is a reserved port, the replica's proxy uses it; choose another`},
		"an autoscaling annotation in the wrong place": {serviceKind, strings.Replace(shop, "{name: shop, namespace: default}",
			`{name: shop, annotations: {autoscaling.knative.dev/min-scale: "1"}}`, 1),
			`Service default/shop: metadata.annotations[autoscaling.knative.dev/min-scale]: autoscaling annotations must be put under "spec.template.metadata.annotations" to work`},
		"a wrong type": {serviceKind, strings.Replace(shop, "    spec:", "    spec:\n      timeoutSeconds: soon", 1),
			`Service default/shop: spec.template.spec.timeoutSeconds: is a string, must be of type int64`},
		"a route to nowhere": {routeKind, "metadata: {name: shop}\nspec: {}", `Route default/shop: spec.traffic: missing, give at least one target`},
		"an ingress split": {ingressKind, `
metadata: {name: shop, namespace: default}
spec:
  rules:
  - http: {paths: [{splits: [
      {serviceName: a, serviceNamespace: default, servicePort: 80, percent: 40},
      {serviceName: b, serviceNamespace: other, servicePort: 80, percent: 50}]}]}
`, `Ingress default/shop: spec.rules[0].http.paths[0].splits[1].serviceNamespace: "other", must be the Ingress's own namespace, "default"
Ingress default/shop: spec.rules[0].http.paths[0].splits: 40 + 50 = 90, must add up to 100`},
		"an autoscaler of nothing": {autoscalerKind, "metadata: {name: shop}\nspec: {protocolType: http3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment}}",
			`PodAutoscaler default/shop: spec.scaleTargetRef.name: missing, must name what to scale
PodAutoscaler default/shop: spec.protocolType: "http3", must be one of "http1", "h2c"`},
		"a bad setting": {configMapKind, "metadata: {name: config-network, namespace: knative-serving}\ndata: {rollout-duration: soon}",
			`ConfigMap knative-serving/config-network: rollout-duration: "soon" is not a whole number of 64 bits; write one such as "10"`},
		"an edited example": {configMapKind, `
metadata: {name: config-gc, namespace: knative-serving, annotations: {knative.dev/example-checksum: "00000000"}}
data: {_example: "min-non-active-revisions: 1"}`,
			`ConfigMap knative-serving/config-gc: data[_example]: has changed, which has no effect; copy the setting to the top level of data instead`},
	} {
		t.Run(name, func(t *testing.T) {
			got := Admit(create(t, c.kind, c.manifest), shipped(t)).Refusal
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThePatchMakesTheSentObjectTheCompleteOne(t *testing.T) {
	for _, request := range []Request{
		create(t, serviceKind, shop),
		create(t, routeKind, "apiVersion: serving.knative.dev/v1\nkind: Route\nmetadata: {name: shop, annotations: {a: b}}\nspec: {traffic: [{configurationName: shop, percent: 100}]}"),
		create(t, autoscalerKind, "apiVersion: autoscaling.internal.knative.dev/v1alpha1\nkind: PodAutoscaler\nmetadata: {name: shop}\nspec: {protocolType: h2c, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}}"),
		create(t, ingressKind, "apiVersion: networking.internal.knative.dev/v1alpha1\nkind: Ingress\nmetadata: {name: shop, namespace: default}\nspec: {rules: [{http: {paths: [{splits: [{serviceName: a, serviceNamespace: default, servicePort: 80}]}]}}]}"),
	} {
		response := Admit(request, shipped(t))
		if response.Refusal != "" {
			t.Fatal(response.Refusal)
		}
		steps, err := jsonpatch.DecodePatch(encode(t, response.Patch))
		if err != nil {
			t.Fatal(err)
		}
		patched, err := steps.Apply(request.New)
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := json.Unmarshal(patched, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(encode(t, response.Object), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(withoutEmptyStatus(want), withoutEmptyStatus(got)); diff != "" {
			t.Errorf("%s: complete object (-) and patched object (+):\n%s", request.Kind.Kind, diff)
		}
		request.New = patched
		if again := Admit(request, shipped(t)); len(again.Patch) > 0 {
			t.Errorf("%s: asked again, there is still something to complete: %s", request.Kind.Kind, encode(t, again.Patch))
		}
	}
}

// withoutEmptyStatus takes out what the API server drops on create.
func withoutEmptyStatus(object map[string]any) map[string]any {
	delete(object, "status")
	return object
}

func TestWhatIsNotOursToJudgeIsAdmittedAsItIs(t *testing.T) {
	bad := create(t, serviceKind, "metadata: {name: NOT A NAME}\nspec: {nonsense: 1}")
	for name, change := range map[string]func(*Request){
		"another kind":                 func(r *Request) { r.Kind.Kind = "DomainMapping" },
		"a deletion":                   func(r *Request) { r.Operation, r.Old, r.New = admissionv1.Delete, r.New, nil },
		"a status":                     func(r *Request) { r.Operation, r.SubResource = admissionv1.Update, "status" },
		"a ConfigMap of somebody else": func(r *Request) { r.Kind = configMapKind },
		"a ConfigMap that we do not know": func(r *Request) {
			*r = create(t, configMapKind, "metadata: {name: kube-root-ca.crt, namespace: knative-serving}\ndata: {ca.crt: x}")
		},
	} {
		request := bad
		change(&request)
		if got := Admit(request, shipped(t)); got.Refusal != "" || len(got.Patch) > 0 || len(got.Warnings) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTheGuidesOldKeysAreKeptWithAWarning(t *testing.T) {
	set := shipped(t)
	for _, c := range []struct {
		name, manifest string
		warns          []string
	}{
		{"legacy class", "metadata: {name: config-network, namespace: knative-serving}\ndata: {ingress.class: kourier.ingress.networking.knative.dev}",
			[]string{"ingress.class"}},
		{"keys of no version", `
metadata: {name: config-network, namespace: knative-serving}
data: {httpprotocol: Enabled, autocreate-cluster-domain-claims: "true", domain-template: "{{.Name}}.{{.Namespace}}.{{.Domain}}", read-timeout: 10s, write-timeout: 10s}`,
			[]string{"httpprotocol", "read-timeout", "write-timeout"}},
		{"autoscaler", `
metadata: {name: config-autoscaler, namespace: knative-serving}
data: {min-scale: "1", max-scale: "10", scale-to-zero-grace-period: 30s, stable-window: 60s, enable-scale-to-zero: "true", target: "100",
  container-concurrency-target-default: "100", container-concurrency-target-percentage: "70", panic-window-percentage: "10.0",
  panic-threshold-percentage: "200.0", scale-to-zero-pod-retention-period: 30s}`, []string{"target"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Admit(create(t, configMapKind, c.manifest), set)
			if got.Refusal != "" {
				t.Fatal(got.Refusal)
			}
			if len(got.Warnings) != len(c.warns) {
				t.Fatalf("warnings %q, want one for each of %q", got.Warnings, c.warns)
			}
			for i, key := range c.warns {
				if !strings.Contains(got.Warnings[i], ": "+key+": ") {
					t.Errorf("warning %q does not name %s", got.Warnings[i], key)
				}
			}
		})
	}
}

func TestABadConfigMapLeavesTheLastGoodOneInForce(t *testing.T) {
	set := shipped(t)
	next, _, err := set.With(config.DefaultsName, map[string]string{"container-concurrency": "many"})
	if err == nil || next != set {
		t.Errorf("error %v, same set %v", err, next == set)
	}
}

func BenchmarkAdmitService(b *testing.B) {
	set, request := shipped(b), create(b, serviceKind, shop)
	for b.Loop() {
		if response := Admit(request, set); response.Refusal != "" {
			b.Fatal(response.Refusal)
		}
	}
}

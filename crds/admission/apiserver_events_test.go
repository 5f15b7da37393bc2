package admission

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/manifests"
	"ebb.dev/ebb/test/apiserver"
)

// guidesEvents applies the guide's Brokers, Triggers and sources, twice: the second time nothing may be refused or changed.
func guidesEvents(t *testing.T, c *apiserver.Cluster) {
	files, err := filepath.Glob(filepath.Join(guide(t), "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var documents []string
	seen := map[string]bool{}
	for _, file := range files {
		for _, object := range objectsIn(t, file) {
			name := object.GetKind() + "/" + object.GetName()
			if eventingKinds[object.GroupVersionKind()] == nil || seen[name] { // in the guide's order a later one re-points an earlier one
				continue
			}
			seen[name] = true
			data, err := yaml.Marshal(object.Object)
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, string(data))
		}
	}
	for range 2 {
		got := c.Kubectl(t, strings.Join(documents, "\n---\n"), "apply", "-f", "-")
		if n := strings.Count(got, ".knative.dev/"); n != len(documents) || strings.Contains(got, "Error") || strings.Contains(got, "Warning") {
			t.Errorf("%d of %d applied: %s", n, len(documents), got)
		}
	}
	for _, query := range []struct{ object, path, want string }{
		{"broker/production-broker", "{.metadata.generation} {.metadata.annotations.eventing\\.knative\\.dev/creator} {.spec.delivery.retry}", "1 admin 10"},
		{"trigger/reliable-trigger", "{.metadata.generation} {.spec.delivery.timeout} {.metadata.labels.eventing\\.knative\\.dev/broker}", "1 PT30M production-broker"},
		{"cronjobsource/heartbeat-cron", "{.metadata.generation} {.spec.sink.ref.namespace}", "1 default"},
	} {
		if got := c.Kubectl(t, "", "get", query.object, "-o", "jsonpath="+query.path); got != query.want {
			t.Errorf("%s: got %q, want %q", query.object, got, query.want)
		}
	}
	got := c.Kubectl(t, "", "get", "broker,trigger,channel", "-A")
	if !strings.Contains(got, "broker.eventing.knative.dev/production-broker") || !strings.Contains(got, "trigger.eventing.knative.dev/reliable-trigger") {
		t.Errorf("kubectl get broker,trigger,channel -A:\n%s", got)
	}
}

// eventKinds makes one object of each kind, reads it by its shortest name, writes a status, and takes it away.
func eventKinds(t *testing.T, c *apiserver.Cluster, api client.Client) {
	headers := map[string]string{
		"broker": "NAME URL AGE READY REASON", "trigger": "NAME BROKER SUBSCRIBER_URI AGE READY REASON",
		"eventtype":   "NAME TYPE SOURCE REFERENCE NAME REFERENCE KIND DESCRIPTION READY REASON",
		"eventpolicy": "NAME READY REASON", "rr": "NAME URL READY REASON", "kafkasink": "NAME URL AGE READY REASON",
		"ch": "NAME URL AGE READY REASON", "imc": "NAME URL AGE READY REASON", "sub": "NAME AGE READY REASON",
		"kc": "NAME READY REASON URL AGE", "natsjsmc": "NAME READY REASON URL AGE",
		"sequence": "NAME URL AGE READY REASON", "parallel": "NAME URL AGE READY REASON",
		"pingsource": "NAME SINK SCHEDULE AGE READY REASON", "cronjobsource": "NAME SINK SCHEDULE AGE READY REASON",
		"apiserversource": "NAME SINK AGE READY REASON", "containersource": "NAME SINK AGE READY REASON",
		"sinkbinding": "NAME SINK AGE READY REASON", "jobsink": "NAME URL AGE READY REASON",
		"kafkasource": "NAME TOPICS BOOTSTRAPSERVERS READY REASON AGE",
	}
	names := map[string]string{
		"RequestReply": "rr", "Channel": "ch", "InMemoryChannel": "imc", "Subscription": "sub", "KafkaChannel": "kc", "NatsJetStreamChannel": "natsjsmc",
	}
	var documents []string
	kinds := map[schema.GroupVersionKind]string{}
	for kind := range eventingKinds {
		if kind == oldEventTypeKind || kind == oldKafkaKind {
			continue
		}
		if kinds[kind] = names[kind.Kind]; kinds[kind] == "" {
			kinds[kind] = strings.ToLower(kind.Kind)
		}
		documents = append(documents, string(evented(t, kind, good[kind]).New))
	}
	if got := c.Kubectl(t, strings.Join(documents, "\n---\n"), "create", "-f", "-"); strings.Count(got, "/a created") != len(documents) {
		t.Errorf("create: %s", got)
	}
	if got := c.Kubectl(t, strings.Join(documents, "\n---\n"), "replace", "-f", "-"); strings.Count(got, "/a replaced") != len(documents) {
		t.Errorf("replace: %s", got)
	}
	for kind, name := range kinds {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind)
		object.SetNamespace("default")
		object.SetName("a")
		status := `{"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True"}]}}`
		if err := api.Status().Patch(t.Context(), object, client.RawPatch(types.MergePatchType, []byte(status))); err != nil {
			t.Errorf("%s: status: %v", name, err)
		}
		if object.GetGeneration() != 1 {
			t.Errorf("%s: replaced by the same file it is of generation %d", name, object.GetGeneration())
		}
		lines := strings.Split(c.Kubectl(t, "", "get", name, "a"), "\n")
		if got := strings.Join(strings.Fields(lines[0]), " "); got != headers[name] {
			t.Errorf("%s:\n got %s\nwant %s", name, got, headers[name])
		}
		if len(lines) < 2 || !strings.Contains(lines[1], "True") {
			t.Errorf("%s: status is not stored: %q", name, lines)
		}
		if err := api.Delete(t.Context(), object); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func bothVersions(t *testing.T, c *apiserver.Cluster) {
	c.Kubectl(t, string(evented(t, oldEventTypeKind, `spec: {type: order.created, source: /shop}`).New), "apply", "-f", "-")
	if got := c.Kubectl(t, "", "get", "eventtypes.v1beta3.eventing.knative.dev", "a", "-o", `jsonpath={.spec.attributes[?(@.name=="type")].value}`); got != "order.created" {
		t.Errorf("written as v1beta2, read as v1beta3: type %q", got)
	}
	c.Kubectl(t, "", "delete", "eventtype", "a")
	c.Kubectl(t, string(evented(t, eventTypeKind, good[eventTypeKind]).New), "apply", "-f", "-")
	if got := c.Kubectl(t, "", "get", "eventtypes.v1beta2.eventing.knative.dev", "a", "-o", "jsonpath={.spec.type}"); got != "a" {
		t.Errorf("written as v1beta3, read as v1beta2: type %q", got)
	}
	c.Kubectl(t, string(evented(t, oldKafkaKind, good[oldKafkaKind]).New), "apply", "-f", "-")
	if got := c.Kubectl(t, "", "get", "kafkasources.v1.sources.knative.dev", "a", "-o", "jsonpath={.spec.consumers}"); got != "1" {
		t.Errorf("written as v1beta1, read as v1: %q consumers", got)
	}
}

func eventRefusals(t *testing.T, c *apiserver.Cluster, api client.Client) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "knative-eventing"}}
	if err := api.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	for _, m := range manifests.EventingConfigMaps() {
		if err := api.Create(t.Context(), m); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	bad := evented(t, triggerKind, `spec: {broker: default, `+sink+`, filters: [{not: {exakt: {type: a}}}]}`)
	if got := c.Kubectl(t, string(bad.New), "apply", "-f", "-"); !strings.Contains(got, "Trigger default/a: spec.filters[0].not.exakt: unknown field") {
		t.Error(got)
	}
	if got := c.Kubectl(t, string(evented(t, brokerKind, `spec: {colour: blue}`).New), "apply", "-f", "-"); !strings.Contains(got, `unknown field "spec.colour"`) {
		t.Error(got)
	}
	if got := c.Kubectl(t, "", "patch", "configmap/config-features", "-n", "knative-eventing", "--type", "merge", "-p", `{"data":{"delivery-timeout":"soon"}}`); !strings.Contains(got, `delivery-timeout: "soon" is not known`) {
		t.Error(got)
	}
}

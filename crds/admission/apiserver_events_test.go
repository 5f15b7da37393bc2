package admission

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	for _, file := range files {
		var documents []string
		for _, object := range objectsIn(t, file) {
			if eventingKinds[object.GroupVersionKind()] == nil {
				continue
			}
			data, err := yaml.Marshal(object.Object)
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, string(data))
		}
		if len(documents) == 0 {
			continue
		}
		for range 2 {
			got := c.Kubectl(t, strings.Join(documents, "\n---\n"), "apply", "-f", "-")
			if n := strings.Count(got, ".knative.dev/"); n != len(documents) || strings.Contains(got, "Error") || strings.Contains(got, "Warning") {
				t.Errorf("%s: %d of %d applied: %s", filepath.Base(file), n, len(documents), got)
			}
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
func eventKinds(t *testing.T, c *apiserver.Cluster) {
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
	for kind := range eventingKinds {
		if kind == oldEventTypeKind || kind == oldKafkaKind {
			continue
		}
		name := names[kind.Kind]
		if name == "" {
			name = strings.ToLower(kind.Kind)
		}
		object := string(evented(t, kind, good[kind]).New)
		if got := c.Kubectl(t, object, "apply", "-f", "-"); !strings.Contains(got, "/a created") {
			t.Errorf("%s: %s", kind.Kind, got)
			continue
		}
		if got := c.Kubectl(t, object, "replace", "-f", "-"); !strings.Contains(got, "/a replaced") {
			t.Errorf("%s: %s", kind.Kind, got)
		}
		c.Kubectl(t, "", "patch", name, "a", "--subresource=status", "--type=merge", "-p",
			`{"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True"}]}}`)
		lines := strings.Split(c.Kubectl(t, "", "get", name, "a"), "\n")
		if got := strings.Join(strings.Fields(lines[0]), " "); got != headers[name] {
			t.Errorf("%s:\n got %s\nwant %s", name, got, headers[name])
		}
		if len(lines) < 2 || !strings.Contains(lines[1], "True") {
			t.Errorf("%s: status is not stored: %q", name, lines)
		}
		if got := c.Kubectl(t, "", "get", name, "a", "-o", "jsonpath={.metadata.generation}"); got != "1" {
			t.Errorf("%s: replaced by the same file it is of generation %s", name, got)
		}
		c.Kubectl(t, "", "delete", name, "a", "--wait=false")
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

package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
)

// eventingParsers are those of namespace knative-eventing behind one signature.
var eventingParsers = map[string]func(data) ([]string, error){
	BrokerChannelName:         func(d data) ([]string, error) { _, w, err := ParseBrokerChannel(d); return w, err },
	BrokerDefaultsName:        func(d data) ([]string, error) { _, w, err := ParseBrokerDefaults(d); return w, err },
	ChannelDefaultsName:       func(d data) ([]string, error) { _, w, err := ParseChannelDefaults(d); return w, err },
	EventingFeaturesName:      func(d data) ([]string, error) { _, w, err := ParseEventingFeatures(d); return w, err },
	EventingObservabilityName: func(d data) ([]string, error) { _, w, err := ParseEventingObservability(d); return w, err },
	KafkaBrokerName:           func(d data) ([]string, error) { _, w, err := ParseKafkaBroker(d); return w, err },
	PingDefaultsName:          func(d data) ([]string, error) { _, w, err := ParsePingDefaults(d); return w, err },
	SugarName:                 func(d data) ([]string, error) { _, w, err := ParseSugar(d); return w, err },
}

func TestABadEventingValueIsRefusedWithItsKeyAndARemedy(t *testing.T) {
	for _, c := range []struct{ name, key, value, remedy string }{
		{BrokerDefaultsName, "default-br-config", "- a", "is not YAML of the expected shape"},
		{BrokerDefaultsName, "default-br-config", "clusterDefault: {kind: ConfigMap}", "give apiVersion, kind and name"},
		{BrokerDefaultsName, "default-br-config", "clusterDefault: {delivery: {backoffDelay: 5s}}", `"PT0.2S"`},
		{BrokerDefaultsName, "default-br-config", "namespaceDefaults: {shop: {delivery: {retry: -1}}}", "namespaceDefaults.shop.delivery.retry: -1 must not be negative"},
		{BrokerDefaultsName, "default-br-config", "clusterDefault: {brokerClasses: {Kafka: {delivery: {backoffPolicy: random}}}}", `write "linear" or "exponential"`},
		{BrokerChannelName, "channel-template-spec", "kind: InMemoryChannel", "give apiVersion and kind"},
		{ChannelDefaultsName, "default-ch-config", "clusterDefault: {kind: InMemoryChannel}", "clusterDefault: names no kind of channel"},
		{ChannelDefaultsName, "default-ch-config", "namespaceDefaults: {shop: {}}", "namespaceDefaults.shop: names no kind of channel"},
		{EventingFeaturesName, "transport-encryption", "enabled", `"Permissive", "Strict"`},
		{EventingFeaturesName, "default-authorization-mode", "some", `"Allow-All"`},
		{EventingFeaturesName, "delivery-timeout", "on", `"Enabled", "Allowed", "Disabled"`},
		{EventingFeaturesName, "requestreply-default-timeout", "30s", `"PT30M"`},
		{EventingFeaturesName, "requestreply-default-timeout", "PT0S", "more than nothing"},
		{EventingFeaturesName, "oidc-discovery-base-url", "here", "https://kubernetes.default.svc"},
		{EventingFeaturesName, "apiserversources-nodeselector-disk", "not a value", "is no label of a node"},
		{PingDefaultsName, "data-max-size", "much", `write one such as "10"`},
		{SugarName, "namespace-selector", "all", "(all)"},
		{SugarName, "trigger-selector", "matchExpressions: [{key: a, operator: Near}]", "(all)"},
		{KafkaBrokerName, "default.topic.partitions", "0", "at least 1"},
		{KafkaBrokerName, "bootstrap.servers", "kafka", "host:port"},
		{EventingObservabilityName, "metrics-protocol", "carrier-pigeon", `"prometheus"`},
		{EventingObservabilityName, "runtime-export-interval", "-1s", "not be negative"},
	} {
		_, err := eventingParsers[c.name](data{c.key: c.value})
		if err == nil {
			t.Errorf("%s: %s: %q is accepted", c.name, c.key, c.value)
			continue
		}
		prefix := "ConfigMap knative-eventing/" + c.name + ": " + c.key + ": "
		if text := err.Error(); !strings.HasPrefix(text, prefix) || !strings.Contains(text, c.remedy) {
			t.Errorf("%q: want it to start with %q and to say %q", text, prefix, c.remedy)
		}
	}
}

func TestUnknownEventingKeysWarn(t *testing.T) {
	for name, parse := range eventingParsers {
		warnings, err := parse(data{"colour": "blue", "_example": "colour: blue"})
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "knative-eventing/"+name+": colour: unknown key") {
			t.Errorf("%s: warnings %q, error %v", name, warnings, err)
		}
	}
	warnings, err := eventingParsers[BrokerDefaultsName](data{"default-br-config": "clusterDefault: {colour: blue}"})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "colour") {
		t.Errorf("a field that is not known: warnings %q, error %v", warnings, err)
	}
}

func TestANamespacesBrokersComeBeforeTheClusters(t *testing.T) {
	d, _, err := ParseBrokerDefaults(data{"default-br-config": `
clusterDefault:
  brokerClass: MTChannelBasedBroker
  apiVersion: v1
  kind: ConfigMap
  name: cluster
  delivery: {retry: 3}
  brokerClasses:
    Kafka: {apiVersion: v1, kind: ConfigMap, name: cluster-kafka}
namespaceDefaults:
  shop:
    brokerClass: Kafka
    disallowDifferentNamespaceConfig: true
  bank:
    brokerClass: Kafka
    apiVersion: v1
    kind: ConfigMap
    name: bank-kafka
`})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ namespace, class, name string }{
		{"default", "", "cluster"}, {"default", "Kafka", "cluster-kafka"}, {"default", "Other", "cluster"},
		{"shop", "", "cluster-kafka"}, {"shop", "MTChannelBasedBroker", "cluster"},
		{"bank", "", "bank-kafka"}, {"bank", "MTChannelBasedBroker", "cluster"},
	} {
		class := c.class
		if class == "" {
			class = d.Class(c.namespace)
		}
		if got := d.Config(c.namespace, class).Name; got != c.name {
			t.Errorf("%s in %s: configured by %q, want %q", class, c.namespace, got, c.name)
		}
	}
	if !d.SameNamespaceOnly("shop") || d.SameNamespaceOnly("bank") {
		t.Error("shop keeps its Brokers' ConfigMaps to itself, and bank does not")
	}
}

func TestBrokersTryTenTimesUnlessSaidOtherwise(t *testing.T) {
	got := NewSet("cluster.local").Eventing.BrokerDefaults.Config("default", eventing.MTChannelBrokerClass)
	want := BrokerConfig{
		KReference: duck.KReference{APIVersion: "v1", Kind: "ConfigMap", Name: "config-br-default-channel", Namespace: "knative-eventing"},
		Delivery: &duck.DeliverySpec{
			Retry: ptr.To[int32](10), BackoffPolicy: ptr.To(duck.BackoffPolicyExponential), BackoffDelay: ptr.To("PT0.2S"),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheTwoNamespacesConfigMapsOfOneNameAreApart(t *testing.T) {
	set := NewSet("cluster.local")
	next, _, err := set.WithIn("knative-eventing", "config-features", data{"delivery-timeout": "disabled"})
	if err != nil || next.Eventing.Features.Enabled(DeliveryTimeout) || !set.Eventing.Features.Enabled(DeliveryTimeout) {
		t.Errorf("the flag is not off in the new Set alone: %v", err)
	}
	if diff := cmp.Diff(set.Features, next.Features, cmp.AllowUnexported(Features{})); diff != "" {
		t.Error("serving's features have changed")
	}
	if same, _, err := next.WithIn("knative-eventing", "config-features", data{"delivery-timeout": "maybe"}); err == nil || same != next {
		t.Error("a bad value does not leave the last good Set in force")
	}
	if same, _, err := set.WithIn("default", "config-features", data{"delivery-timeout": "maybe"}); err != nil || same != set {
		t.Error("another namespace's ConfigMap counts")
	}
}

func FuzzEventing(f *testing.F) {
	for _, seed := range [][2]string{
		{"default-br-config", "clusterDefault: {brokerClass: a, apiVersion: v1, kind: ConfigMap, name: a, delivery: {retry: 1}}"},
		{"default-ch-config", "namespaceDefaults: {a: {apiVersion: b, kind: c, spec: {d: 1}}}"},
		{"channel-template-spec", "{apiVersion: a, kind: b}"},
		{"namespace-selector", "{matchLabels: {a: b}}"},
		{"transport-encryption", "strict"},
		{"bootstrap.servers", "a:1,b:2"},
		{"default.topic.config.retention.ms", "1"},
		{"requestreply-default-timeout", "PT1S"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		for name, parse := range eventingParsers {
			warnings, err := parse(data{key: value})
			if err != nil {
				warnings = append(warnings, err.Error())
			}
			for _, text := range warnings {
				if !strings.HasPrefix(text, EventingObjectName(name)+": ") {
					t.Errorf("%q names no ConfigMap", text)
				}
			}
		}
	})
}

package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

const (
	// PingDefaultsName is the ConfigMap that ParsePingDefaults reads.
	PingDefaultsName = "config-ping-defaults"
	// SugarName is the ConfigMap that ParseSugar reads.
	SugarName = "config-sugar"
	// KafkaBrokerName is the ConfigMap that ParseKafkaBroker reads.
	KafkaBrokerName = "kafka-broker-config"
	// EventingObservabilityName is the ConfigMap of namespace knative-eventing that ParseEventingObservability reads.
	EventingObservabilityName = "config-observability"
)

// PingDefaults is what config-ping-defaults says. Treat it as immutable.
type PingDefaults struct {
	// DataMaxSize is the most bytes of data or dataBase64 that a PingSource may send. NoLimit is no limit.
	DataMaxSize int64
}

// ParsePingDefaults reads the data of config-ping-defaults.
func ParsePingDefaults(data map[string]string) (*PingDefaults, []string, error) {
	r := readEventing(PingDefaultsName, data)
	p := &PingDefaults{DataMaxSize: NoLimit}
	r.whole(&p.DataMaxSize, "data-max-size", "dataMaxSize")
	if p.DataMaxSize < 0 {
		p.DataMaxSize = NoLimit
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return p, warnings, nil
}

// Sugar is what config-sugar says. Treat it as immutable.
type Sugar struct {
	// NamespaceSelector selects namespaces that get a Broker default, and TriggerSelector Triggers whose Broker default is made.
	// nil selects none.
	NamespaceSelector, TriggerSelector *metav1.LabelSelector
}

// ParseSugar reads the data of config-sugar.
func ParseSugar(data map[string]string) (*Sugar, []string, error) {
	r := readEventing(SugarName, data)
	s := &Sugar{}
	r.selector(&s.NamespaceSelector, "namespace-selector")
	r.selector(&s.TriggerSelector, "trigger-selector")
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return s, warnings, nil
}

// selector reads a label selector that is YAML; an empty value is none.
func (r *reader) selector(into **metav1.LabelSelector, key string) {
	value, ok := r.value(key)
	if !ok || value == "" {
		return
	}
	selector := &metav1.LabelSelector{}
	if err := yaml.UnmarshalStrict([]byte(value), selector); err != nil {
		r.fail(key, "%q is no label selector; write YAML such as \"{}\" (all) or \"matchLabels: {team: shop}\"", value)
		return
	}
	if _, err := metav1.LabelSelectorAsSelector(selector); err != nil {
		r.fail(key, "%q is no label selector: %v; write YAML such as \"{}\" (all) or \"matchLabels: {team: shop}\"", value, err)
		return
	}
	*into = selector
}

// KafkaBroker is what kafka-broker-config says of Brokers of class Kafka. Treat it as immutable.
type KafkaBroker struct {
	// BootstrapServers are Kafka's, as host:port. Without any there is no Kafka.
	BootstrapServers []string
	// Partitions and ReplicationFactor are those of a Broker's topic.
	Partitions        int64
	ReplicationFactor int64
	// TopicConfig is further settings of the topic, by Kafka's names.
	TopicConfig map[string]string
	// SecretName names a Secret with credentials, in the ConfigMap's namespace; "" is none.
	SecretName string
}

// kafkaTopicConfigPrefix is that of keys whose rest is a setting of the topic.
const kafkaTopicConfigPrefix = "default.topic.config."

// ParseKafkaBroker reads the data of kafka-broker-config, or of another ConfigMap that a Broker names for the same purpose.
func ParseKafkaBroker(data map[string]string) (*KafkaBroker, []string, error) {
	r := readEventing(KafkaBrokerName, data)
	k := &KafkaBroker{Partitions: 10, ReplicationFactor: 3}
	r.list(&k.BootstrapServers, "bootstrap.servers")
	r.whole(&k.Partitions, "default.topic.partitions")
	r.whole(&k.ReplicationFactor, "default.topic.replication.factor")
	r.text(&k.SecretName, "auth.secret.ref.name")
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if setting, ok := strings.CutPrefix(key, kafkaTopicConfigPrefix); ok {
			if k.TopicConfig == nil {
				k.TopicConfig = map[string]string{}
			}
			k.TopicConfig[setting], _ = r.value(key)
		}
	}
	for key, value := range map[string]int64{"default.topic.partitions": k.Partitions, "default.topic.replication.factor": k.ReplicationFactor} {
		if value < 1 {
			r.fail(key, "%d must be at least 1", value)
		}
	}
	slices.SortFunc(r.failed, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	for _, server := range k.BootstrapServers {
		if !strings.Contains(server, ":") {
			r.fail("bootstrap.servers", "%q has no port; write it as host:port, such as \"kafka.kafka:9092\"", server)
		}
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return k, warnings, nil
}

// EventingObservability is what config-observability of namespace knative-eventing says. Treat it as immutable.
type EventingObservability struct {
	// Metrics are those of our own parts.
	Metrics Export
	// Tracing says where traces go, and TracingSamplingRate which share of them, from 0 to 1.
	Tracing             Export
	TracingSamplingRate float64
	// Profiling serves pprof on port 8008, and RuntimeExportInterval is how often Go's own metrics are read.
	Profiling             bool
	RuntimeExportInterval time.Duration
	// SinkErrorEvents tells of events that a sink did not take by an event of the source.
	SinkErrorEvents bool
}

// ParseEventingObservability reads the data of config-observability of namespace knative-eventing.
func ParseEventingObservability(data map[string]string) (*EventingObservability, []string, error) {
	r := readEventing(EventingObservabilityName, data)
	o := &EventingObservability{RuntimeExportInterval: 15 * time.Second}
	o.Metrics = r.export("metrics", []string{ProtocolNone, ProtocolPrometheus, ProtocolHTTPProtobuf, ProtocolGRPC})
	o.Tracing = r.export("tracing", []string{ProtocolNone, ProtocolStdout, ProtocolHTTPProtobuf, ProtocolGRPC})
	r.share(&o.TracingSamplingRate, "tracing-sampling-rate")
	profiling := off
	choice(r, &profiling, []toggle{on, off}, "runtime-profiling")
	o.Profiling = profiling == on
	r.duration(&o.RuntimeExportInterval, "runtime-export-interval")
	if o.RuntimeExportInterval < 0 {
		r.fail("runtime-export-interval", "%v must not be negative", o.RuntimeExportInterval)
	}
	r.truth(&o.SinkErrorEvents, "sink-event-error-reporting.enable")
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return o, warnings, nil
}

// nodeSelector checks that keys and values can be labels of nodes.
func (r *reader) nodeSelector(prefix string) map[string]string {
	var selector map[string]string
	for _, key := range slices.Sorted(maps.Keys(r.data)) {
		label, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		value, _ := r.value(key)
		if _, err := labels.ValidatedSelectorFromSet(labels.Set{label: value}); err != nil {
			r.fail(key, "%q is no label of a node: %v", value, err)
			continue
		}
		if selector == nil {
			selector = map[string]string{}
		}
		selector[label] = value
	}
	return selector
}

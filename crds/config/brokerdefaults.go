package config

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
)

// BrokerDefaultsName is the ConfigMap that ParseBrokerDefaults reads.
const BrokerDefaultsName = "config-br-defaults"

// brokerDefaultsKey is the one key of it; its value is YAML.
const brokerDefaultsKey = "default-br-config"

// BrokerDefaults is what config-br-defaults says of Brokers whose users say nothing. Treat it as immutable.
type BrokerDefaults struct {
	// Cluster is for namespaces without an entry of their own.
	Cluster BrokerDefault `json:"clusterDefault"`
	// Namespaces are the entries of namespaces, by name.
	Namespaces map[string]BrokerDefault `json:"namespaceDefaults,omitempty"`
}

// BrokerDefault is what one entry says.
type BrokerDefault struct {
	// Class is the broker class, and BrokerConfig the settings of Brokers of that class.
	Class        string `json:"brokerClass,omitempty"`
	BrokerConfig `json:",inline"`
	// Classes are the settings of Brokers by their class.
	Classes map[string]BrokerConfig `json:"brokerClasses,omitempty"`
	// DisallowDifferentNamespaceConfig refuses a spec.config in another namespace than the Broker's.
	DisallowDifferentNamespaceConfig *bool `json:"disallowDifferentNamespaceConfig,omitempty"`
}

// BrokerConfig is the settings of a class.
type BrokerConfig struct {
	duck.KReference `json:",inline"`
	Delivery        *duck.DeliverySpec `json:"delivery,omitempty"`
}

// isZero reports whether nothing is set.
func (c BrokerConfig) isZero() bool { return c.KReference == duck.KReference{} && c.Delivery == nil }

// Class returns the class of a Broker in namespace that names none.
func (d *BrokerDefaults) Class(namespace string) string {
	if class := d.Namespaces[namespace].Class; class != "" {
		return class
	}
	return d.Cluster.Class
}

// Config returns the settings of a Broker of that class in namespace: what the namespace says of the class, what the cluster says of
// it, and otherwise the cluster's default. Where nothing is said, it is the zero value.
func (d *BrokerDefaults) Config(namespace, class string) BrokerConfig {
	for _, level := range []BrokerDefault{d.Namespaces[namespace], d.Cluster} {
		if config, ok := level.Classes[class]; ok {
			return config
		}
		if class == level.Class && !level.BrokerConfig.isZero() {
			return level.BrokerConfig
		}
	}
	return d.Cluster.BrokerConfig
}

// SameNamespaceOnly reports whether Brokers in namespace must have their spec.config there too.
func (d *BrokerDefaults) SameNamespaceOnly(namespace string) bool {
	return ptr.Deref(d.Namespaces[namespace].DisallowDifferentNamespaceConfig, false) ||
		ptr.Deref(d.Cluster.DisallowDifferentNamespaceConfig, false)
}

// DefaultDelivery is that of Brokers where config-br-defaults says nothing.
func DefaultDelivery() *duck.DeliverySpec {
	return &duck.DeliverySpec{Retry: ptr.To[int32](10), BackoffPolicy: ptr.To(duck.BackoffPolicyExponential), BackoffDelay: ptr.To("PT0.2S")}
}

// ParseBrokerDefaults reads the data of config-br-defaults.
func ParseBrokerDefaults(data map[string]string) (*BrokerDefaults, []string, error) {
	r := readEventing(BrokerDefaultsName, data)
	d := &BrokerDefaults{Cluster: BrokerDefault{
		Class: eventing.MTChannelBrokerClass,
		BrokerConfig: BrokerConfig{
			KReference: duck.KReference{APIVersion: "v1", Kind: "ConfigMap", Name: BrokerChannelName, Namespace: eventing.SystemNamespace},
			Delivery:   DefaultDelivery(),
		},
	}}
	if value, ok := r.value(brokerDefaultsKey); ok && value != "" {
		d = &BrokerDefaults{}
		r.yaml(d, brokerDefaultsKey, value)
		if d.Cluster.Class == "" {
			d.Cluster.Class = eventing.MTChannelBrokerClass
		}
		d.check(r)
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return d, warnings, nil
}

// check refuses what would be refused in every Broker that is given it.
func (d *BrokerDefaults) check(r *reader) {
	d.Cluster.check(r, "clusterDefault")
	for _, namespace := range slices.Sorted(maps.Keys(d.Namespaces)) {
		d.Namespaces[namespace].check(r, "namespaceDefaults."+namespace)
	}
}

func (d BrokerDefault) check(r *reader, where string) {
	d.BrokerConfig.check(r, where)
	for _, class := range slices.Sorted(maps.Keys(d.Classes)) {
		d.Classes[class].check(r, where+".brokerClasses."+class)
	}
}

func (c BrokerConfig) check(r *reader, where string) {
	if c.KReference != (duck.KReference{}) && (c.Kind == "" || c.Name == "" || c.APIVersion == "") {
		r.fail(brokerDefaultsKey, "%s: names a configuration by halves; give apiVersion, kind and name", where)
	}
	if err := checkDelivery(c.Delivery); err != nil {
		r.fail(brokerDefaultsKey, "%s.delivery.%v", where, err)
	}
}

func checkDelivery(d *duck.DeliverySpec) error {
	if d == nil {
		return nil
	}
	if d.Retry != nil && *d.Retry < 0 {
		return fmt.Errorf("retry: %d must not be negative", *d.Retry)
	}
	if p := d.BackoffPolicy; p != nil && *p != duck.BackoffPolicyLinear && *p != duck.BackoffPolicyExponential {
		return fmt.Errorf("backoffPolicy: %q is not known; write \"linear\" or \"exponential\"", *p)
	}
	for name, value := range map[string]*string{"backoffDelay": d.BackoffDelay, "timeout": d.Timeout, "backoffMax": d.BackoffMax, "retryAfterMax": d.RetryAfterMax} {
		if value == nil {
			continue
		}
		if _, err := duck.ParseDuration(*value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// yaml reads a value that is YAML. Fields that are not known are warned of, as keys are.
func (r *reader) yaml(into any, key, value string) {
	if err := yaml.Unmarshal([]byte(value), into); err != nil {
		r.fail(key, "is not YAML of the expected shape: %v; see the example in the ConfigMap as it ships", err)
		return
	}
	if err := yaml.UnmarshalStrict([]byte(value), into); err != nil {
		r.warn(key, "has a field that is not known, which has no effect: %v", err)
	}
}

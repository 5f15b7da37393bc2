package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

const (
	// BrokerChannelName is the ConfigMap that ParseBrokerChannel reads.
	BrokerChannelName = "config-br-default-channel"
	// ChannelDefaultsName is the ConfigMap that ParseChannelDefaults reads.
	ChannelDefaultsName = "default-ch-webhook"
)

// Keys of the two. Their values are YAML.
const (
	brokerChannelKey       = "channel-template-spec"
	brokerChannelLegacyKey = "channelTemplateSpec"
	channelDefaultsKey     = "default-ch-config"
)

// ChannelTemplate names a kind of channel, and what its spec is to be.
type ChannelTemplate struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	// Spec is JSON, nil for none.
	Spec json.RawMessage `json:"spec,omitempty"`
}

func inMemoryChannel() ChannelTemplate {
	return ChannelTemplate{APIVersion: "messaging.knative.dev/v1", Kind: "InMemoryChannel"}
}

func (t ChannelTemplate) check() error {
	if t.APIVersion == "" || t.Kind == "" {
		return fmt.Errorf("names no kind of channel; give apiVersion and kind, such as messaging.knative.dev/v1 and InMemoryChannel")
	}
	return nil
}

// ParseBrokerChannel reads the data of config-br-default-channel, or of another ConfigMap that a Broker names for the same purpose.
func ParseBrokerChannel(data map[string]string) (*ChannelTemplate, []string, error) {
	r := readEventing(BrokerChannelName, data)
	t := inMemoryChannel()
	if value, ok := r.value(brokerChannelKey, brokerChannelLegacyKey); ok && value != "" {
		t = ChannelTemplate{}
		r.yaml(&t, brokerChannelKey, value)
		if err := t.check(); err != nil && len(r.failed) == 0 {
			r.fail(brokerChannelKey, "%v", err)
		}
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return &t, warnings, nil
}

// ChannelDefaults is what default-ch-webhook says of Channels without a template. Treat it as immutable.
type ChannelDefaults struct {
	// Cluster is for namespaces without an entry of their own.
	Cluster *ChannelTemplate `json:"clusterDefault,omitempty"`
	// Namespaces are the entries of namespaces, by name.
	Namespaces map[string]ChannelTemplate `json:"namespaceDefaults,omitempty"`
}

// Template returns the template of a Channel in namespace, and whether there is one.
func (d *ChannelDefaults) Template(namespace string) (ChannelTemplate, bool) {
	if t, ok := d.Namespaces[namespace]; ok {
		return t, true
	}
	if d.Cluster != nil {
		return *d.Cluster, true
	}
	return ChannelTemplate{}, false
}

// ParseChannelDefaults reads the data of default-ch-webhook.
func ParseChannelDefaults(data map[string]string) (*ChannelDefaults, []string, error) {
	r := readEventing(ChannelDefaultsName, data)
	imc := inMemoryChannel()
	d := &ChannelDefaults{Cluster: &imc}
	if value, ok := r.value(channelDefaultsKey); ok && value != "" {
		d = &ChannelDefaults{}
		r.yaml(d, channelDefaultsKey, value)
		if d.Cluster != nil {
			if err := d.Cluster.check(); err != nil {
				r.fail(channelDefaultsKey, "clusterDefault: %v", err)
			}
		}
		for _, namespace := range slices.Sorted(maps.Keys(d.Namespaces)) {
			if err := d.Namespaces[namespace].check(); err != nil {
				r.fail(channelDefaultsKey, "namespaceDefaults.%s: %v", namespace, err)
			}
		}
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return d, warnings, nil
}

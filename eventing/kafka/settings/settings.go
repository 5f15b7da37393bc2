package settings

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/eventing/kafka/cluster"
)

// The keys of ConfigMaps that errors name.
const (
	ServersKey     = "bootstrap.servers"
	PartitionsKey  = "default.topic.partitions"
	ReplicationKey = "default.topic.replication.factor"
	SecretKey      = "auth.secret.ref.name"
	// secretNamespaceKey is heeded for channels; a Broker's Secret is beside its ConfigMap.
	secretNamespaceKey = "auth.secret.ref.namespace"
)

// Settings are what a ConfigMap says of Kafka.
type Settings struct {
	// From is the ConfigMap, Secret the one with credentials, whose zero value is none.
	From, Secret types.NamespacedName
	Cluster      cluster.Cluster
	// Partitions and Replication are those of topics that are made, Config further settings of theirs.
	Partitions  int32
	Replication int16
	Config      map[string]string
}

// Wrong is what a person has to put right.
type Wrong struct{ Reason, Message string }

func (w *Wrong) Error() string { return w.Message }

// Reader reads settings.
type Reader struct {
	// API reads from the API server: Secrets are in no cache.
	API client.Reader
}

// ConfigMap reads the settings in a ConfigMap. An error that is a *Wrong is for people.
func (r *Reader) ConfigMap(ctx context.Context, name types.NamespacedName) (*Settings, error) {
	var found corev1.ConfigMap
	if err := r.API.Get(ctx, name, &found); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read ConfigMap %s: %w", name, err)
	} else if err != nil {
		return nil, &Wrong{"ConfigMapNotFound", fmt.Sprintf("ConfigMap %s does not exist; make it with %s", name, ServersKey)}
	}
	parsed, _, err := config.ParseKafkaBroker(found.Data)
	if err != nil {
		// The parser knows the ConfigMap by the name that it usually has.
		message := strings.ReplaceAll(err.Error(), config.EventingObjectName(config.KafkaBrokerName), "ConfigMap "+name.String())
		return nil, &Wrong{"ConfigMapInvalid", message}
	}
	if len(parsed.BootstrapServers) == 0 {
		return nil, &Wrong{"NoBootstrapServers", fmt.Sprintf("ConfigMap %s: %s is missing; set it to host:port of some of Kafka's brokers", name, ServersKey)}
	}
	out := &Settings{
		From: name, Cluster: cluster.Cluster{Servers: parsed.BootstrapServers},
		Partitions: int32(parsed.Partitions), Replication: int16(parsed.ReplicationFactor), Config: parsed.TopicConfig,
	}
	if parsed.SecretName == "" {
		return out, nil
	}
	out.Secret = types.NamespacedName{Namespace: name.Namespace, Name: parsed.SecretName}
	if namespace := found.Data[secretNamespaceKey]; namespace != "" {
		out.Secret.Namespace = namespace
	}
	if out.Cluster.Auth, err = r.Secret(ctx, out.Secret); err != nil {
		if wrong := (*Wrong)(nil); errors.As(err, &wrong) {
			return nil, &Wrong{wrong.Reason, fmt.Sprintf("ConfigMap %s: %s: %s", name, SecretKey, wrong.Message)}
		}
		return nil, err
	}
	return out, nil
}

// Secret reads the credentials in a Secret.
func (r *Reader) Secret(ctx context.Context, name types.NamespacedName) (cluster.Auth, error) {
	var found corev1.Secret
	if err := r.API.Get(ctx, name, &found); client.IgnoreNotFound(err) != nil {
		return cluster.Auth{}, fmt.Errorf("read Secret %s: %w", name, err)
	} else if err != nil {
		return cluster.Auth{}, &Wrong{"SecretNotFound", fmt.Sprintf("Secret %s does not exist", name)}
	}
	auth, err := cluster.AuthOf(found.Data)
	if err != nil {
		return cluster.Auth{}, &Wrong{"SecretInvalid", fmt.Sprintf("Secret %s: %v", name, err)}
	}
	return auth, nil
}

// Value reads one key of a Secret.
func (r *Reader) Value(ctx context.Context, namespace string, ref *corev1.SecretKeySelector) ([]byte, error) {
	name := types.NamespacedName{Namespace: namespace, Name: ref.Name}
	var found corev1.Secret
	if err := r.API.Get(ctx, name, &found); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	} else if err != nil {
		return nil, &Wrong{"SecretNotFound", fmt.Sprintf("Secret %s does not exist", name)}
	}
	value, has := found.Data[ref.Key]
	if !has {
		return nil, &Wrong{"SecretInvalid", fmt.Sprintf("Secret %s: key %s is missing", name, ref.Key)}
	}
	return value, nil
}

// Explain says why a cluster of these settings cannot be used, naming where they are written. Other errors are returned as they are.
func (s *Settings) Explain(err error) (reason, message string) {
	at := fmt.Sprintf("ConfigMap %s: ", s.From)
	var why *cluster.Unreachable
	if !errors.As(err, &why) {
		return "TopicNotReady", at + err.Error()
	}
	switch why.Reason {
	case "NotAuthenticated", "NotTrusted":
		if s.Secret.Name == "" {
			return why.Reason, fmt.Sprintf("%s%s: %v", at, SecretKey, why)
		}
		return why.Reason, fmt.Sprintf("%s%s: Secret %s: %v", at, SecretKey, s.Secret, why)
	case "NotReachable":
		return why.Reason, fmt.Sprintf("%s%s: %v", at, ServersKey, why)
	}
	return why.Reason, at + why.Error()
}

package settings

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"ebb.dev/ebb/eventing/kafka/cluster"
)

var at = types.NamespacedName{Namespace: "knative-eventing", Name: "kafka-broker-config"}

func reader(objects ...client.Object) *Reader {
	return &Reader{API: fake.NewClientBuilder().WithObjects(objects...).Build()}
}

func configMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: at.Name}, Data: data}
}

func secret(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: "login"}, Data: data}
}

func TestConfigMapsAreReadAsKnativeReadsThem(t *testing.T) {
	r := reader(configMap(map[string]string{
		"bootstrap.servers": "a:9092, b:9092", "default.topic.partitions": "4", "default.topic.replication.factor": "2",
		"default.topic.config.retention.ms": "1000", "auth.secret.ref.name": "login",
	}), secret(map[string][]byte{"protocol": []byte("SASL_PLAINTEXT"), "user": []byte("a"), "password": []byte("b")}))
	got, err := r.ConfigMap(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Cluster.Servers) != 2 || got.Partitions != 4 || got.Replication != 2 || got.Config["retention.ms"] != "1000" || got.Cluster.Auth.User != "a" {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		objects        []client.Object
		reason, remedy string
	}{
		"no ConfigMap":  {nil, "ConfigMapNotFound", "ConfigMap knative-eventing/kafka-broker-config does not exist; make it with bootstrap.servers"},
		"no servers":    {[]client.Object{configMap(nil)}, "NoBootstrapServers", "bootstrap.servers is missing"},
		"no port":       {[]client.Object{configMap(map[string]string{"bootstrap.servers": "a"})}, "ConfigMapInvalid", "has no port"},
		"no partitions": {[]client.Object{configMap(map[string]string{"bootstrap.servers": "a:1", "default.topic.partitions": "0"})}, "ConfigMapInvalid", "default.topic.partitions"},
		"no Secret":     {[]client.Object{configMap(map[string]string{"bootstrap.servers": "a:1", "auth.secret.ref.name": "login"})}, "SecretNotFound", "auth.secret.ref.name: Secret knative-eventing/login does not exist"},
		"no protocol":   {[]client.Object{configMap(map[string]string{"bootstrap.servers": "a:1", "auth.secret.ref.name": "login"}), secret(nil)}, "SecretInvalid", "key protocol is missing"},
	} {
		_, err := reader(c.objects...).ConfigMap(t.Context(), at)
		var wrong *Wrong
		if !errors.As(err, &wrong) || wrong.Reason != c.reason || !strings.Contains(wrong.Message, c.remedy) || !strings.Contains(wrong.Message, at.String()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAClusterThatIsAwayNamesTheKey(t *testing.T) {
	s := &Settings{From: at, Secret: types.NamespacedName{Namespace: "a", Name: "login"}, Cluster: cluster.Cluster{Servers: []string{"127.0.0.1:1"}}}
	_, err := s.Cluster.Connect(t.Context(), "test")
	if reason, message := s.Explain(err); reason != "NotReachable" || !strings.HasPrefix(message, "ConfigMap knative-eventing/kafka-broker-config: bootstrap.servers: Kafka at 127.0.0.1:1 cannot be reached") {
		t.Errorf("%s: %s", reason, message)
	}
	if reason, message := s.Explain(errors.New("no room")); reason != "TopicNotReady" || !strings.HasSuffix(message, ": no room") {
		t.Errorf("%s: %s", reason, message)
	}
}

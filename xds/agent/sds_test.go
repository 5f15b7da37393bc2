package agent

import (
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ebb.dev/ebb/xds/agent/agentpb"
)

// TestOurMessagesAreEnvoys is about agentpb/sds.proto: every field of it is one of Envoy's message, with the same number, name and kind.
func TestOurMessagesAreEnvoys(t *testing.T) {
	if sdsService != secretv3.SecretDiscoveryService_ServiceDesc.ServiceName || secretType != resource.SecretType {
		t.Errorf("%s and %s are not what Envoy calls them", sdsService, secretType)
	}
	for ours, envoys := range map[proto.Message]proto.Message{
		&agentpb.SecretRequest{}:  &discoveryv3.DiscoveryRequest{},
		&agentpb.SecretResponse{}: &discoveryv3.DiscoveryResponse{},
		&agentpb.Secret{}:         &tlsv3.Secret{},
	} {
		compare(t, ours.ProtoReflect().Descriptor(), envoys.ProtoReflect().Descriptor())
	}
	if got := agentpb.Secrets_ServiceDesc.Streams; len(got) != 1 || got[0].StreamName != secretv3.SecretDiscoveryService_ServiceDesc.Streams[1].StreamName {
		t.Errorf("streams %v", got)
	}
}

func compare(t *testing.T, ours, envoys protoreflect.MessageDescriptor) {
	t.Helper()
	for i := range ours.Fields().Len() {
		field := ours.Fields().Get(i)
		other := envoys.Fields().ByNumber(field.Number())
		if other == nil || other.Name() != field.Name() || other.Kind() != field.Kind() || other.Cardinality() != field.Cardinality() {
			t.Errorf("%s is not a field of %s", field.FullName(), envoys.FullName())
			continue
		}
		if field.Message() != nil {
			compare(t, field.Message(), other.Message())
		}
	}
}

func TestEnvoyReadsOurSecrets(t *testing.T) {
	data, err := proto.Marshal(&agentpb.Secret{Name: "self", Type: &agentpb.Secret_TlsCertificate{
		TlsCertificate: &agentpb.Certificate{CertificateChain: inline([]byte("chain")), PrivateKey: inline([]byte("key"))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var secret tlsv3.Secret
	if err := proto.Unmarshal(data, &secret); err != nil {
		t.Fatal(err)
	}
	got := secret.GetTlsCertificate()
	if secret.GetName() != "self" || string(got.GetCertificateChain().GetInlineBytes()) != "chain" || string(got.GetPrivateKey().GetInlineBytes()) != "key" {
		t.Errorf("it reads %v", &secret)
	}
}

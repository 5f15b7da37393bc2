package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/model"
)

// Under these names Envoy knows the messages of agentpb.
const (
	sdsService = "envoy.service.secret.v3.SecretDiscoveryService"
	secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// registerSDS has a server answer as Envoy's secret discovery service.
func registerSDS(server *grpc.Server, s *sds) {
	service := agentpb.Secrets_ServiceDesc
	service.ServiceName = sdsService
	server.RegisterService(&service, s)
}

// sds serves the secrets to the Envoy of this machine. It listens on a unix socket that only its owner may open.
type sds struct {
	agentpb.UnimplementedSecretsServer
	store *store
	// ensure begins to get a workload's secret, unless somebody does.
	ensure func(name string)
	log    *slog.Logger
}

// StreamSecrets answers each name with its secret, now or as soon as there is one, and again whenever it is renewed.
func (s *sds) StreamSecrets(stream agentpb.Secrets_StreamSecretsServer) error {
	requests, failed := receive(stream)
	var name string
	defer func() {
		if name != "" {
			s.store.unwant(name)
		}
	}()
	var sent []byte
	nonce := 0
	for {
		var changed <-chan struct{}
		if name != "" {
			var err error
			if sent, changed, err = s.sendIfNew(stream, name, sent, &nonce); err != nil {
				return err
			}
		}
		select {
		case request := <-requests:
			if detail := request.GetErrorDetail(); detail != nil {
				s.log.Error("Envoy refuses a secret", "secret", name, "reason", detail.GetMessage())
				continue
			}
			asked, err := oneName(request.GetResourceNames())
			if err != nil {
				return err
			}
			if asked == name {
				continue
			}
			if name != "" {
				return status.Error(codes.InvalidArgument, "a stream asks for one secret")
			}
			name = asked
			s.store.want(name)
			if strings.HasPrefix(name, model.SVIDPrefix) {
				s.ensure(name)
			}
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

// receive reads a stream into channels.
func receive(stream agentpb.Secrets_StreamSecretsServer) (<-chan *agentpb.SecretRequest, <-chan error) {
	requests := make(chan *agentpb.SecretRequest)
	failed := make(chan error, 1)
	go func() {
		for {
			request, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- request:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	return requests, failed
}

// oneName is the secret a request asks for. Envoy opens a stream for each.
func oneName(names []string) (string, error) {
	if len(names) != 1 {
		return "", status.Errorf(codes.InvalidArgument, "%d secrets asked for on one stream; one is served", len(names))
	}
	name := names[0]
	if name == model.SelfSecret || name == model.TrustSecret || strings.HasPrefix(name, model.SVIDPrefix) {
		return name, nil
	}
	return "", status.Errorf(codes.NotFound, "secret %q is none of ours", name)
}

func (s *sds) sendIfNew(stream agentpb.Secrets_StreamSecretsServer, name string, sent []byte, nonce *int) ([]byte, <-chan struct{}, error) {
	svid, roots, changed := s.store.look(name)
	secret, err := secretOf(name, svid, roots)
	if err != nil || secret == nil {
		return sent, changed, err
	}
	packed, err := proto.Marshal(secret)
	if err != nil {
		return sent, changed, fmt.Errorf("encode secret %s: %w", name, err)
	}
	if bytes.Equal(packed, sent) {
		return sent, changed, nil
	}
	*nonce++
	err = stream.Send(&agentpb.SecretResponse{
		TypeUrl: secretType, Resources: []*anypb.Any{{TypeUrl: secretType, Value: packed}},
		VersionInfo: strconv.Itoa(*nonce), Nonce: strconv.Itoa(*nonce),
	})
	if err != nil {
		return sent, changed, fmt.Errorf("send secret %s: %w", name, err)
	}
	return packed, changed, nil
}

// secretOf writes a secret the way Envoy reads it; nil while there is none.
func secretOf(name string, svid *SVID, roots [][]byte) (*agentpb.Secret, error) {
	if name == model.TrustSecret {
		if len(roots) == 0 {
			return nil, nil
		}
		return &agentpb.Secret{Name: name, Type: &agentpb.Secret_ValidationContext{
			ValidationContext: &agentpb.Roots{TrustedCa: inline(certificatesPEM(roots))},
		}}, nil
	}
	if svid == nil {
		return nil, nil
	}
	key, err := svid.keyPEM()
	if err != nil {
		return nil, err
	}
	return &agentpb.Secret{Name: name, Type: &agentpb.Secret_TlsCertificate{
		TlsCertificate: &agentpb.Certificate{CertificateChain: inline(svid.chainPEM()), PrivateKey: inline(key)},
	}}, nil
}

func inline(data []byte) *agentpb.Data { return &agentpb.Data{InlineBytes: data} }

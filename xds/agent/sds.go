package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"ebb.dev/ebb/xds/envoy"
)

// sds serves the secrets to the Envoy of this machine. It listens on a unix socket that only its owner may open.
type sds struct {
	secretv3.UnimplementedSecretDiscoveryServiceServer
	store *store
	// ensure begins to get a workload's secret, unless somebody does.
	ensure func(name string)
	log    *slog.Logger
}

// StreamSecrets answers each name with its secret, now or as soon as there is one, and again whenever it is renewed.
func (s *sds) StreamSecrets(stream secretv3.SecretDiscoveryService_StreamSecretsServer) error {
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
			if strings.HasPrefix(name, envoy.SVIDPrefix) {
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
func receive(stream secretv3.SecretDiscoveryService_StreamSecretsServer) (<-chan *discoveryv3.DiscoveryRequest, <-chan error) {
	requests := make(chan *discoveryv3.DiscoveryRequest)
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
	if name == envoy.SelfSecret || name == envoy.TrustSecret || strings.HasPrefix(name, envoy.SVIDPrefix) {
		return name, nil
	}
	return "", status.Errorf(codes.NotFound, "secret %q is none of ours", name)
}

func (s *sds) sendIfNew(stream secretv3.SecretDiscoveryService_StreamSecretsServer, name string, sent []byte, nonce *int) ([]byte, <-chan struct{}, error) {
	svid, roots, changed := s.store.look(name)
	secret, err := secretOf(name, svid, roots)
	if err != nil || secret == nil {
		return sent, changed, err
	}
	packed, err := anypb.New(secret)
	if err != nil {
		return sent, changed, fmt.Errorf("encode secret %s: %w", name, err)
	}
	if bytes.Equal(packed.GetValue(), sent) {
		return sent, changed, nil
	}
	*nonce++
	err = stream.Send(&discoveryv3.DiscoveryResponse{
		TypeUrl: resource.SecretType, Resources: []*anypb.Any{packed},
		VersionInfo: strconv.Itoa(*nonce), Nonce: strconv.Itoa(*nonce),
	})
	if err != nil {
		return sent, changed, fmt.Errorf("send secret %s: %w", name, err)
	}
	return packed.GetValue(), changed, nil
}

// secretOf writes a secret the way Envoy reads it; nil while there is none.
func secretOf(name string, svid *SVID, roots [][]byte) (*tlsv3.Secret, error) {
	if name == envoy.TrustSecret {
		if len(roots) == 0 {
			return nil, nil
		}
		return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(certificatesPEM(roots))},
		}}, nil
	}
	if svid == nil {
		return nil, nil
	}
	key, err := svid.keyPEM()
	if err != nil {
		return nil, err
	}
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{
		TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(svid.chainPEM()), PrivateKey: inline(key)},
	}}, nil
}

func inline(data []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: data}}
}

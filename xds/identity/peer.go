package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"ebb.dev/ebb/xds/model"
)

// Peer is who is at the other end of a connection.
type Peer struct {
	model.Identity
	ID string
	// Pod scopes a sidecar's identity to its pod; zero for others.
	Pod model.Key
}

// PeerOf reads the identity that a verified certificate proves.
func PeerOf(trustDomain string, certificate *x509.Certificate) (Peer, error) {
	if len(certificate.URIs) != 1 {
		return Peer{}, fmt.Errorf("a certificate with %d URIs is no SVID", len(certificate.URIs))
	}
	id := certificate.URIs[0].String()
	parsed, err := model.ParseID(trustDomain, id)
	if err != nil {
		return Peer{}, err
	}
	out := Peer{Identity: parsed, ID: id}
	for _, name := range certificate.DNSNames {
		pod, ok := strings.CutSuffix(name, podSuffix)
		if !ok {
			continue
		}
		// A namespace has no dot, a pod's name may.
		at := strings.LastIndexByte(pod, '.')
		if at <= 0 || at == len(pod)-1 {
			return Peer{}, fmt.Errorf("pod scope %q is malformed", name)
		}
		out.Pod = model.Key{Namespace: pod[at+1:], Name: pod[:at]}
		if !parsed.IsWorkload() || out.Pod.Namespace != parsed.Account.Namespace {
			return Peer{}, fmt.Errorf("pod scope %q does not belong to %s", name, id)
		}
	}
	return out, nil
}

// errNoCertificate is what callers without a certificate get.
var errNoCertificate = errors.New("a client certificate of this mesh is needed")

// FromContext returns the peer of a gRPC call, or an Unauthenticated status.
func FromContext(ctx context.Context, trustDomain string) (Peer, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Peer{}, status.Error(codes.Unauthenticated, errNoCertificate.Error())
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return Peer{}, status.Error(codes.Unauthenticated, errNoCertificate.Error())
	}
	out, err := PeerOf(trustDomain, info.State.VerifiedChains[0][0])
	if err != nil {
		return Peer{}, status.Error(codes.Unauthenticated, err.Error())
	}
	return out, nil
}

// MayBeProxy checks that a peer may be the proxy that it says it is:
// "gateway/NAME/INSTANCE", "node/NAME/WORKER" or "sidecar/NAMESPACE/POD".
func (p Peer) MayBeProxy(proxyID string) error {
	var prefix string
	switch {
	case p.IsWorkload() && !p.Pod.IsZero():
		if proxyID == model.SidecarID(p.Pod) {
			return nil
		}
		return fmt.Errorf("%s of pod %s may not be proxy %q", p.ID, p.Pod, proxyID)
	case p.Role == model.RoleGateway:
		prefix = "gateway/" + p.Name + "/"
	case p.Role == model.RoleNode:
		prefix = model.NodeProxyPrefix(p.Name)
	default:
		return fmt.Errorf("%s is no proxy", p.ID)
	}
	rest, ok := strings.CutPrefix(proxyID, prefix)
	if !ok || rest == "" || strings.Contains(rest, "/") {
		return fmt.Errorf("%s may not be proxy %q", p.ID, proxyID)
	}
	return nil
}

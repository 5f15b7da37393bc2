package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/service/health/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
)

// Parts are what the server serves.
type Parts struct {
	TrustDomain string
	CA          *identity.CA
	// DNS are the names that clients dial.
	DNS      []string
	Cache    *cache.Cache
	Hold     *hold.Hold
	Identity agentpb.IdentityServer
	Node     agentpb.NodeServer
	// Backlogs takes what event brokers have waiting; nil takes nothing.
	Backlogs agentpb.AutoscalerServer
	Health   *Health
	Feed     *Feed
	Log      *slog.Logger
}

// Server is the port.
type Server struct {
	parts Parts
	grpc  *grpc.Server

	mu          sync.Mutex
	certificate *tls.Certificate
	renew       time.Time
}

// Authorizer says which proxy an ADS stream belongs to.
func Authorizer(trustDomain string) cache.Authorize {
	return func(ctx context.Context, node *corev3.Node, typ cache.Type) (string, error) {
		peer, err := identity.FromContext(ctx, trustDomain)
		if err != nil {
			return "", err
		}
		if err := peer.MayBeProxy(node.GetId()); err != nil {
			return "", status.Error(codes.PermissionDenied, err.Error())
		}
		if !slices.Contains(mayHave(peer), typ) {
			return "", status.Errorf(codes.PermissionDenied, "%s may not have %s", peer.ID, typ)
		}
		return node.GetId(), nil
	}
}

func mayHave(peer identity.Peer) []cache.Type {
	if peer.Role == model.RoleGateway {
		return []cache.Type{cache.Clusters, cache.Endpoints, cache.Listeners, cache.Routes, cache.VirtualHosts}
	}
	return []cache.Type{cache.Clusters, cache.Listeners}
}

// New makes the server.
func New(ctx context.Context, parts Parts) *Server {
	s := &Server{parts: parts}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(s.tls())),
		grpc.ChainUnaryInterceptor(s.guardUnary),
		grpc.ChainStreamInterceptor(s.guardStream),
		grpc.MaxRecvMsgSize(16<<20),
		// Held requests are streams of one connection.
		grpc.MaxConcurrentStreams(1<<20),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	ads := &ads{delta: delta.NewServer(ctx, parts.Cache, parts.Cache,
		delta.DeactivateLegacyWildcardForTypes([]string{resource.VirtualHostType}))}
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s.grpc, ads)
	healthv3.RegisterHealthDiscoveryServiceServer(s.grpc, parts.Health)
	metricsv3.RegisterMetricsServiceServer(s.grpc, parts.Feed)
	authv3.RegisterAuthorizationServer(s.grpc, hold.NewServer(parts.Hold, s.gatewayOf))
	accesslogv3.RegisterAccessLogServiceServer(s.grpc, newCounted(s.gatewayOf, parts.Hold))
	agentpb.RegisterIdentityServer(s.grpc, parts.Identity)
	agentpb.RegisterNodeServer(s.grpc, parts.Node)
	if parts.Backlogs != nil {
		agentpb.RegisterAutoscalerServer(s.grpc, parts.Backlogs)
	}
	return s
}

// ads serves the delta stream alone.
type ads struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	delta delta.Server
}

func (a *ads) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return a.delta.DeltaStreamHandler(stream, resource.AnyType)
}

// Serve serves until the context ends.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, s.grpc.Stop)
	defer stop()
	if err := s.grpc.Serve(listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve xDS on %s: %w", listener.Addr(), err)
	}
	return nil
}

// tls asks for a client certificate but leaves it to the guards to demand one.
func (s *Server) tls() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		// Read anew for each connection: roots rotate.
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pool := x509.NewCertPool()
			roots, _ := s.parts.CA.Roots()
			for _, root := range roots {
				pool.AddCert(root)
			}
			certificate, err := s.own()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				NextProtos:   []string{"h2"},
				Certificates: []tls.Certificate{*certificate},
				ClientAuth:   tls.VerifyClientCertIfGiven,
				ClientCAs:    pool,
			}, nil
		},
	}
}

// own is the control plane's certificate, made here by the CA beside it.
func (s *Server) own() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.certificate != nil && now.Before(s.renew) {
		return s.certificate, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the control plane's key: %w", err)
	}
	subject := identity.Subject{ID: model.EbbID(s.parts.TrustDomain, model.RoleControlPlane, ""), DNS: s.parts.DNS}
	chain, notAfter, err := s.parts.CA.Issue(subject, key.Public())
	if err != nil {
		return nil, err
	}
	s.certificate = &tls.Certificate{Certificate: chain, PrivateKey: key}
	s.renew = now.Add(notAfter.Sub(now) / 2)
	return s.certificate, nil
}

// guard demands a certificate for everything but Sign.
func (s *Server) guard(ctx context.Context, method string) error {
	if method == agentpb.Identity_Sign_FullMethodName {
		return nil
	}
	_, err := identity.FromContext(ctx, s.parts.TrustDomain)
	return err
}

func (s *Server) guardUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := s.guard(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, request)
}

func (s *Server) guardStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := s.guard(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(server, stream)
}

// gatewayOf checks who asks the hold.
func (s *Server) gatewayOf(ctx context.Context, claimed string) (string, error) {
	peer, err := identity.FromContext(ctx, s.parts.TrustDomain)
	if err != nil {
		return "", err
	}
	if peer.Role != model.RoleGateway {
		return "", status.Errorf(codes.PermissionDenied, "%s is no gateway", peer.ID)
	}
	if err := peer.MayBeProxy(claimed); err != nil {
		return "", status.Error(codes.PermissionDenied, err.Error())
	}
	return claimed, nil
}

// proxyOf checks which proxy a stream of health or metrics is from.
func proxyOf(ctx context.Context, trustDomain, claimed string) (string, error) {
	peer, err := identity.FromContext(ctx, trustDomain)
	if err != nil {
		return "", err
	}
	if err := peer.MayBeProxy(claimed); err != nil {
		return "", status.Error(codes.PermissionDenied, err.Error())
	}
	return claimed, nil
}

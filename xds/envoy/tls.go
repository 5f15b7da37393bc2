package envoy

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"ebb.dev/ebb/xds/model"
)

// fromAgent names a secret at the SDS agent. The two proxy-wide names are in use by the bootstrap already, so that no
// cluster or listener warms on them.
func fromAgent(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{
		Name: name,
		SdsConfig: &corev3.ConfigSource{
			ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
				ApiType:             corev3.ApiConfigSource_GRPC,
				TransportApiVersion: corev3.ApiVersion_V3,
				GrpcServices:        []*corev3.GrpcService{{TargetSpecifier: envoyGRPC(AgentCluster)}},
			}},
			ResourceApiVersion: corev3.ApiVersion_V3,
		},
	}
}

func tls13() *tlsv3.TlsParameters {
	return &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
	}
}

// commonTLS presents secret and believes peers whose SPIFFE ID a matcher accepts.
func commonTLS(secret string, alpn []string, peers []*matcherv3.StringMatcher) *tlsv3.CommonTlsContext {
	matchers := make([]*tlsv3.SubjectAltNameMatcher, 0, len(peers))
	for _, peer := range peers {
		matchers = append(matchers, &tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: peer})
	}
	return &tlsv3.CommonTlsContext{
		TlsParams:                      tls13(),
		AlpnProtocols:                  alpn,
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{fromAgent(secret)},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: matchers},
				ValidationContextSdsSecretConfig: fromAgent(model.TrustSecret),
			},
		},
	}
}

// UpstreamTLS is the client side of mTLS towards peers with exactly one of these SPIFFE IDs.
func UpstreamTLS(alpn string, identities []string) *corev3.TransportSocket {
	peers := make([]*matcherv3.StringMatcher, 0, len(identities))
	for _, id := range identities {
		peers = append(peers, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: id}})
	}
	return clientTLS(model.SelfSecret, []string{alpn}, peers)
}

func clientTLS(certificate string, alpn []string, peers []*matcherv3.StringMatcher) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: mustAny(&tlsv3.UpstreamTlsContext{
			CommonTlsContext: commonTLS(certificate, alpn, peers),
		})},
	}
}

// certificateOf names the secret that a replica's listener presents. A sidecar is its workload.
func certificateOf(r model.Replica) string {
	if r.HasSidecar() {
		return model.SelfSecret
	}
	return model.SVIDSecret(r.Account())
}

// HoldsIdentity reports whether a replica's listener presents a certificate that its proxy has to be given.
func HoldsIdentity(options Options, r model.Replica) bool {
	return !options.Plaintext && certificateOf(r) != model.SelfSecret
}

// IdentityCluster has a node proxy hold a workload's certificate: a listener that presents what its Envoy has need not wait for it. Nothing is
// ever sent there.
func IdentityCluster(account model.Key) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 model.SVIDSecret(account),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		TransportSocket:      clientTLS(model.SVIDSecret(account), nil, nil),
	}
}

// replicaTLS is the server side at a replica: it presents the workload's own identity and lets gateways in.
func replicaTLS(options Options, certificate string) *corev3.TransportSocket {
	gateways := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{
		Prefix: "spiffe://" + options.TrustDomain + "/ebb/gateway/",
	}}
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: mustAny(&tlsv3.DownstreamTlsContext{
			CommonTlsContext:         commonTLS(certificate, []string{"h2", "http/1.1"}, []*matcherv3.StringMatcher{gateways}),
			RequireClientCertificate: boolValue(true),
		})},
	}
}

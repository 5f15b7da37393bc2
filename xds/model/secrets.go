package model

// Names that an Envoy and the agent beside it agree on, which is without Envoy's types: in a pod they take longer to set up than the agent does.
const (
	// SelfSecret is the proxy's own SVID, TrustSecret the roots it believes.
	SelfSecret  = "self"
	TrustSecret = "trust"
	// SVIDPrefix begins the names of workload certificates.
	SVIDPrefix = "svid|"
	// ProxyEnvironment is the variable that an Envoy reads its ID from.
	ProxyEnvironment = "EBB_PROXY_ID"
)

// SVIDSecret is the name of a workload's certificate at the SDS agent of its node: "svid|namespace/serviceaccount".
func SVIDSecret(account Key) string { return SVIDPrefix + account.String() }

// Package agentpb is the protocol between the agent beside an Envoy and the control plane.
//
// In and out: the messages of agent.proto, and those of sds.proto between the agent and its Envoy. Hard rule: the Go files are generated from
// them; see the go:generate line.
package agentpb

//go:generate python3 -m grpc_tools.protoc -I . --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative agent.proto sds.proto

package identity

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/model"
)

// Audience is the audience of the tokens that prove who an agent is.
const Audience = "ebb"

// Claims are what a verified token says of its bearer.
type Claims struct {
	Account model.Key
	// Pod and Node are what the token is bound to, if anything.
	Pod  string
	Node string
}

// Reviewer verifies tokens: the API server's TokenReview.
type Reviewer interface {
	Review(ctx context.Context, token, audience string) (Claims, error)
}

// Bindings says where pods are.
type Bindings interface {
	// Bound reports whether a pod of the service account is bound to the node.
	Bound(node string, account model.Key) bool
}

// Accounts are the service accounts that Ebb's own processes run under.
type Accounts struct {
	Gateway, Node, Broker model.Key
}

// DefaultAccounts are those of the manifests.
func DefaultAccounts() Accounts {
	return Accounts{
		Gateway: model.Key{Namespace: "ebb-system", Name: "ebb-gateway"},
		Node:    model.Key{Namespace: "ebb-system", Name: "ebb-node"},
		Broker:  model.Key{Namespace: "knative-eventing", Name: "ebb-broker"},
	}
}

// Issuer is the Identity service.
type Issuer struct {
	agentpb.UnimplementedIdentityServer
	TrustDomain string
	CA          *CA
	Reviewer    Reviewer
	Bindings    Bindings
	Accounts    Accounts
	Log         *slog.Logger
}

// Sign decides who asks and signs its key for that identity.
func (s *Issuer) Sign(ctx context.Context, request *agentpb.SignRequest) (*agentpb.SignResponse, error) {
	csr, err := x509.ParseCertificateRequest(request.GetCsr())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "csr: %v", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "csr: %v", err)
	}
	subject, err := s.subject(ctx, request)
	if err != nil {
		return nil, err
	}
	chain, notAfter, err := s.CA.Issue(subject, csr.PublicKey)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "%v", err)
	}
	s.Log.Debug("certificate issued", "id", subject.ID, "notAfter", notAfter)
	return &agentpb.SignResponse{Chain: chain, Trust: s.bundle(), Id: subject.ID, NotAfter: timestamppb.New(notAfter)}, nil
}

// subject is whom the certificate will be for.
func (s *Issuer) subject(ctx context.Context, request *agentpb.SignRequest) (Subject, error) {
	if request.GetToken() != "" {
		claims, err := s.Reviewer.Review(ctx, request.GetToken(), Audience)
		if err != nil {
			return Subject{}, status.Errorf(codes.Unauthenticated, "token: %v", err)
		}
		return s.fromClaims(claims, request.GetName())
	}
	caller, err := FromContext(ctx, s.TrustDomain)
	if err != nil {
		return Subject{}, err
	}
	if workload := request.GetWorkload(); workload != "" {
		return s.forWorkload(caller, workload)
	}
	out := Subject{ID: caller.ID}
	if !caller.Pod.IsZero() {
		out.Pod = caller.Pod.Name + "." + caller.Pod.Namespace
	}
	return out, nil
}

func (s *Issuer) fromClaims(claims Claims, name string) (Subject, error) {
	switch claims.Account {
	case s.Accounts.Gateway:
		if !model.IsIDPart(name) {
			return Subject{}, status.Errorf(codes.InvalidArgument, "name: a gateway says which gateway it is, and %q is no name", name)
		}
		return Subject{ID: model.EbbID(s.TrustDomain, model.RoleGateway, name)}, nil
	case s.Accounts.Node:
		if claims.Node == "" {
			return Subject{}, status.Error(codes.PermissionDenied, "token: a node's token must be bound to its Node or to a pod on it")
		}
		return Subject{ID: model.EbbID(s.TrustDomain, model.RoleNode, claims.Node)}, nil
	case s.Accounts.Broker:
		return Subject{ID: model.EbbID(s.TrustDomain, model.RoleBroker, "")}, nil
	}
	if claims.Pod == "" {
		return Subject{}, status.Error(codes.PermissionDenied, "token: a workload's token must be bound to its pod")
	}
	return Subject{
		ID:  model.WorkloadID(s.TrustDomain, claims.Account.Namespace, claims.Account.Name),
		Pod: claims.Pod + "." + claims.Account.Namespace,
	}, nil
}

// forWorkload lets a node have the identity of a workload that runs on it.
func (s *Issuer) forWorkload(caller Peer, workload string) (Subject, error) {
	account, err := model.ParseKey(workload)
	if err != nil {
		return Subject{}, status.Errorf(codes.InvalidArgument, "workload: %v", err)
	}
	if caller.Role != model.RoleNode {
		return Subject{}, status.Errorf(codes.PermissionDenied, "%s is no node", caller.ID)
	}
	if !s.Bindings.Bound(caller.Name, account) {
		return Subject{}, status.Errorf(codes.PermissionDenied, "no pod of %s is bound to node %s", account, caller.Name)
	}
	return Subject{ID: model.WorkloadID(s.TrustDomain, account.Namespace, account.Name)}, nil
}

func (s *Issuer) bundle() *agentpb.TrustBundle {
	roots, _ := s.CA.Roots()
	out := &agentpb.TrustBundle{}
	for _, root := range roots {
		out.Roots = append(out.Roots, root.Raw)
	}
	return out
}

// Trust sends the roots now and whenever they change.
func (s *Issuer) Trust(_ *agentpb.TrustRequest, stream agentpb.Identity_TrustServer) error {
	if _, err := FromContext(stream.Context(), s.TrustDomain); err != nil {
		return err
	}
	for {
		_, changed := s.CA.Roots()
		if err := stream.Send(s.bundle()); err != nil {
			return fmt.Errorf("send the roots: %w", err)
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-changed:
		}
	}
}

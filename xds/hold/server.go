package hold

import (
	"context"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/model"
)

// Authorize returns the ID of the gateway that asks, from its certificate and what it says of itself, or an error.
type Authorize func(ctx context.Context, claimed string) (gateway string, err error)

// Server answers Envoy's ext_authz checks.
type Server struct {
	authv3.UnimplementedAuthorizationServer
	hold      *Hold
	authorize Authorize
}

// NewServer serves a hold.
func NewServer(h *Hold, authorize Authorize) *Server { return &Server{hold: h, authorize: authorize} }

// Check holds one request.
func (s *Server) Check(ctx context.Context, check *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	claimed := ""
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		if values := md.Get(envoy.GatewayHeader); len(values) > 0 {
			claimed = values[0]
		}
	}
	gateway, err := s.authorize(ctx, claimed)
	if err != nil {
		return nil, err
	}
	request, err := parse(gateway, check)
	if err != nil {
		return nil, grpcstatus.Error(codes.InvalidArgument, err.Error())
	}
	verdict := s.hold.Check(ctx, request)
	if verdict.Code == Gone {
		return nil, grpcstatus.FromContextError(ctx.Err()).Err()
	}
	return respond(verdict), nil
}

// parse reads what Envoy says of a request.
func parse(gateway string, check *authv3.CheckRequest) (Request, error) {
	http := check.GetAttributes().GetRequest().GetHttp()
	if http == nil {
		return Request{}, fmt.Errorf("the check is not of an HTTP request")
	}
	headers := http.GetHeaders()
	request := Request{
		Gateway: gateway,
		ID:      headers["x-request-id"],
		Config:  model.External,
		Host:    http.GetHost(),
		Path:    http.GetPath(),
		Header:  func(name string) string { return headers[name] },
	}
	extensions := check.GetAttributes().GetContextExtensions()
	switch config := model.RouteConfig(extensions[envoy.ConfigExtension]); config {
	case model.Internal, model.External:
		request.Config = config
	case "":
	default:
		return Request{}, fmt.Errorf("route configuration %q is not ours", config)
	}
	if revision := extensions[envoy.RevisionExtension]; revision != "" {
		key, err := model.ParseKey(revision)
		if err != nil {
			return Request{}, fmt.Errorf("revision: %w", err)
		}
		request.Revision = key
	}
	return request, nil
}

// respond writes a verdict the way Envoy reads it.
func respond(verdict Verdict) *authv3.CheckResponse {
	switch verdict.Code {
	case Go:
		response := &authv3.CheckResponse{
			Status:       &status.Status{Code: int32(codes.OK)},
			HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{Headers: setHeaders(verdict.Choice)}},
		}
		if verdict.Counted {
			// The gateway's access log reports requests that carry this when they end.
			response.DynamicMetadata = &structpb.Struct{Fields: map[string]*structpb.Value{
				envoy.CountedMetadata: structpb.NewStringValue(verdict.Choice.Revision.String()),
			}}
		}
		return response
	case NotFound:
		return deny(typev3.StatusCode_NotFound, verdict.Reason)
	case Full:
		return deny(typev3.StatusCode_ServiceUnavailable, verdict.Reason, retryAfter)
	default:
		return deny(typev3.StatusCode_ServiceUnavailable, verdict.Reason, retryAfter)
	}
}

var retryAfter = &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: "retry-after", Value: "1"}}

func setHeaders(choice Choice) []*corev3.HeaderValueOption {
	set := func(key, value string) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: key, Value: value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}
	}
	out := []*corev3.HeaderValueOption{set(envoy.ClusterHeader, choice.Cluster)}
	for _, header := range choice.Set {
		out = append(out, set(strings.ToLower(header.Name), header.Value))
	}
	if choice.RewriteHost != "" {
		out = append(out, set("host", choice.RewriteHost))
	}
	return out
}

func deny(code typev3.StatusCode, reason string, headers ...*corev3.HeaderValueOption) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(codes.PermissionDenied), Message: reason},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: code},
			Headers: append(headers, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: "content-type", Value: "text/plain"}}),
			Body:    reason + "\n",
		}},
	}
}

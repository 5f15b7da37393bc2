package main

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echoService is described by hand: two methods on a message that everybody has.
var echoService = grpc.ServiceDesc{
	ServiceName: "ebb.test.Echo",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
	Streams:     []grpc.StreamDesc{{StreamName: "Stream", Handler: bidirectional, ServerStreams: true, ClientStreams: true}},
}

func newGRPC() *grpc.Server {
	s := grpc.NewServer()
	s.RegisterService(&echoService, struct{}{})
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	return s
}

func unary(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	m := &wrapperspb.BytesValue{}
	if err := decode(m); err != nil {
		return nil, err
	}
	return m, nil
}

func bidirectional(_ any, s grpc.ServerStream) error {
	for {
		m := &wrapperspb.BytesValue{}
		err := s.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
}

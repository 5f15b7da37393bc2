package sidecar

import (
	"context"
	"net"
	"testing"

	"ebb.dev/ebb/xds/agent/agentpb"
)

func TestThatTheAppListensIsSaidOnce(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr)
	listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := make(chan *agentpb.PodReport, 8)
	ended := make(chan error, 1)
	o := Options{Namespace: "default", Pod: "hello-a", UID: "u1", IP: "10.244.0.7", AppPort: uint16(address.Port)}
	go func() { ended <- o.sayWhenListening(ctx, func(r *agentpb.PodReport) { said <- r }) }()
	if len(said) != 0 {
		t.Fatalf("nobody listens, and it said %v", <-said)
	}
	app, err := net.ListenTCP("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	r := <-said
	if r.GetNamespace() != "default" || r.GetName() != "hello-a" || r.GetUid() != "u1" || r.GetIp() != "10.244.0.7" ||
		r.GetState() != agentpb.PodReport_STARTED || !r.GetAt().IsValid() || len(said) != 0 {
		t.Errorf("said %v and %d more", r, len(said))
	}
}

func TestWithoutAPortOrAnAppNothingIsSaid(t *testing.T) {
	nothing := func(r *agentpb.PodReport) { t.Errorf("said %v", r) }
	if err := (Options{}).sayWhenListening(t.Context(), nothing); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Options{AppPort: 1}).sayWhenListening(ctx, nothing); err != nil {
		t.Error(err)
	}
}

package broker

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/xds/agent/agentpb"
)

func TestTheControlPlaneIsToldOfHosts(t *testing.T) {
	got := hostsOf([]model.Backlog{
		{URL: "http://Worker.default.svc.cluster.local/sleep?ms=100", Waiting: 3, AtOnce: 2, Due: 1},
		{URL: "http://worker.shop.svc.cluster.local:8080", Waiting: 1, AtOnce: 1},
		{URL: "http://worker.shop.svc.cluster.local:8080", Waiting: 4, AtOnce: 10, PerSecond: 2.5},
		{URL: "http://idle.shop.svc.cluster.local"},
		{URL: "%", Waiting: 1},
	})
	want := []*agentpb.Backlog{
		{Host: "worker.default.svc.cluster.local", Waiting: 3, AtOnce: 2, Due: 1},
		{Host: "worker.shop.svc.cluster.local", Waiting: 5, AtOnce: 11, PerSecond: 2.5},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

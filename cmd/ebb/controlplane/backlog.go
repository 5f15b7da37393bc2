package controlplane

import (
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/scale"
	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// backlogs is the Autoscaler service: what event brokers have waiting.
type backlogs struct {
	agentpb.UnimplementedAutoscalerServer
	trustDomain string
	scaling     *scaling
	// streams tells brokers apart, and one before a restart from the one after it.
	streams atomic.Uint64
}

// Backlogs takes a broker's reports until it leaves; then nothing of it waits any more.
func (b *backlogs) Backlogs(stream agentpb.Autoscaler_BacklogsServer) error {
	peer, err := identity.FromContext(stream.Context(), b.trustDomain)
	if err != nil {
		return err
	}
	if peer.Role != model.RoleBroker {
		return status.Errorf(codes.PermissionDenied, "%s is no event broker", peer.ID)
	}
	source := fmt.Sprintf("broker/%d", b.streams.Add(1))
	defer func() { b.scaling.signal.Drop(source, b.scaling.now()) }()
	for {
		report, err := stream.Recv()
		if err != nil {
			return err
		}
		b.scaling.Backlogs(source, share(b.scaling.store.Read(), report.GetBacklogs()))
	}
}

// share gives the revisions behind each host their part of what waits for it. A host that is none of ours has nobody to scale.
func share(view store.View, waiting []*agentpb.Backlog) map[scale.Revision]decide.Backlog {
	out := map[scale.Revision]decide.Backlog{}
	for _, w := range waiting {
		vhost, ok := view.VHostByDomain(model.Internal, w.GetHost())
		if !ok {
			continue
		}
		route, ok := hold.Match(vhost, hold.Request{Path: "/", Header: func(string) string { return "" }})
		if !ok {
			continue
		}
		total := float64(route.Weight())
		whole := decide.Backlog{Waiting: w.GetWaiting(), AtOnce: w.GetAtOnce(), Due: w.GetDue(), PerSecond: w.GetPerSecond()}
		for _, split := range route.Splits {
			if split.Weight == 0 || split.Revision.IsZero() {
				continue
			}
			key := revisionOf(split.Revision)
			out[key] = out[key].Plus(whole.Share(float64(split.Weight) / total))
		}
	}
	return out
}

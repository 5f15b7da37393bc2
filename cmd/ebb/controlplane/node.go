package controlplane

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/drain"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// words are told what agents know of pods first. *watch.Watcher is one.
type words interface {
	Reported(pod model.Key, node, uid, ip string, started time.Time)
	Forgotten(pod model.Key, uid string)
}

// node is the Node service: what nodes report and ask.
type node struct {
	agentpb.UnimplementedNodeServer
	trustDomain string
	watcher     words
	drainer     *drain.Drainer
	store       *store.Store
	// deleted asks the API server whether a pod is being deleted, when the watch may not have told yet.
	deleted func(ctx context.Context, pod model.Key) bool
}

// Report takes what a node knows of its pods first.
func (n *node) Report(stream agentpb.Node_ReportServer) error {
	peer, err := identity.FromContext(stream.Context(), n.trustDomain)
	if err != nil {
		return err
	}
	if peer.Role != model.RoleNode && peer.Pod.IsZero() {
		return status.Errorf(codes.PermissionDenied, "%s is neither a node nor a sidecar", peer.ID)
	}
	for {
		report, err := stream.Recv()
		if err != nil {
			return err
		}
		pod := model.Key{Namespace: report.GetNamespace(), Name: report.GetName()}
		if peer.Role != model.RoleNode {
			if err := n.ownReport(peer, pod, report); err != nil {
				return err
			}
			continue
		}
		if report.GetState() == agentpb.PodReport_STOPPED {
			n.watcher.Forgotten(pod, report.GetUid())
		} else {
			n.reported(pod, peer.Name, report)
		}
	}
}

// reported passes on what is said of a pod that is on a node.
func (n *node) reported(pod model.Key, on string, report *agentpb.PodReport) {
	var started time.Time
	if report.GetState() == agentpb.PodReport_STARTED {
		started = report.GetAt().AsTime()
	}
	n.watcher.Reported(pod, on, report.GetUid(), report.GetIp(), started)
}

// drainLimit bounds a drain that names no time.
const drainLimit = 10 * time.Minute

// Drain waits until pods that leave are through.
func (n *node) Drain(ctx context.Context, request *agentpb.DrainRequest) (*agentpb.DrainResponse, error) {
	peer, err := identity.FromContext(ctx, n.trustDomain)
	if err != nil {
		return nil, err
	}
	within := drainLimit
	if request.GetWithin() != nil {
		within = request.GetWithin().AsDuration()
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	drained := true
	for _, pod := range n.leaving(ctx, peer, request) {
		drained = n.drainer.Leaving(ctx, pod) && drained
	}
	return &agentpb.DrainResponse{Drained: drained}, nil
}

// leaving lists the pods meant that the caller may speak for: a node for those bound to it, a sidecar for its own.
func (n *node) leaving(ctx context.Context, peer identity.Peer, request *agentpb.DrainRequest) []model.Key {
	if peer.IsWorkload() {
		return n.ownPod(ctx, peer)
	}
	var out []model.Key
	for _, replica := range n.store.Read().ReplicasOn(peer.Name) {
		named := replica.Pod.Namespace == request.GetNamespace() && replica.Pod.Name == request.GetName()
		ofRevision := request.GetName() == "" && replica.Terminating &&
			replica.Revision.Key == model.Key{Namespace: request.GetNamespace(), Name: request.GetRevision()}
		if peer.Role == model.RoleNode && (named || ofRevision) {
			out = append(out, replica.Pod)
		}
	}
	return out
}

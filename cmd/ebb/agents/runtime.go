package agents

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"
	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/xds/agent/agentpb"
)

// watchRuntime follows the container runtime's events: a pod's address is known when its sandbox is up, long before the
// kubelet has told the API server.
func watchRuntime(ctx context.Context, socket string, report func(*agentpb.PodReport), log *slog.Logger) error {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("dial the container runtime at %s: %w", socket, err)
	}
	defer conn.Close()
	runtime := runtimev1.NewRuntimeServiceClient(conn)
	for ctx.Err() == nil {
		stream, err := runtime.GetContainerEvents(ctx, &runtimev1.GetEventsRequest{}, grpc.WaitForReady(true))
		for err == nil {
			var event *runtimev1.ContainerEventResponse
			if event, err = stream.Recv(); err == nil {
				if r := readEvent(event); r != nil {
					report(r)
				}
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		log.Warn("no events of the container runtime; pods are found through the API server", "error", err)
		timer := time.NewTimer(time.Second)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return nil
}

// readEvent turns an event of a revision's pod into a report, or nil.
func readEvent(event *runtimev1.ContainerEventResponse) *agentpb.PodReport {
	sandbox := event.GetPodSandboxStatus()
	if sandbox.GetLabels()[serving.RevisionLabelKey] == "" {
		return nil
	}
	out := &agentpb.PodReport{
		Namespace: sandbox.GetMetadata().GetNamespace(), Name: sandbox.GetMetadata().GetName(), Uid: sandbox.GetMetadata().GetUid(),
		Ip: sandbox.GetNetwork().GetIp(), At: timestamppb.New(time.Unix(0, event.GetCreatedAt())),
	}
	isSandbox := event.GetContainerId() == sandbox.GetId()
	switch event.GetContainerEventType() {
	case runtimev1.ContainerEventType_CONTAINER_STARTED_EVENT:
		out.State = agentpb.PodReport_STARTED
		if isSandbox || isSidecar(event) {
			out.State = agentpb.PodReport_STARTING
		}
	case runtimev1.ContainerEventType_CONTAINER_CREATED_EVENT:
		out.State = agentpb.PodReport_STARTING
	case runtimev1.ContainerEventType_CONTAINER_STOPPED_EVENT, runtimev1.ContainerEventType_CONTAINER_DELETED_EVENT:
		if !isSandbox {
			return nil
		}
		out.State = agentpb.PodReport_STOPPED
	default:
		return nil
	}
	return out
}

// isSidecar reports whether an event is of a replica's own proxy: that it runs says nothing of the app.
func isSidecar(event *runtimev1.ContainerEventResponse) bool {
	for _, status := range event.GetContainersStatuses() {
		if status.GetId() == event.GetContainerId() {
			return status.GetMetadata().GetName() == serving.SidecarContainerName
		}
	}
	return false
}

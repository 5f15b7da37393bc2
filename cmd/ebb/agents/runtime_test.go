package agents

import (
	"testing"

	runtimev1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/xds/agent/agentpb"
)

func TestTheRuntimesEventsAreReadAsReports(t *testing.T) {
	const none = agentpb.PodReport_STATE_UNSPECIFIED
	container := func(id, name string) *runtimev1.ContainerStatus {
		return &runtimev1.ContainerStatus{Id: id, Metadata: &runtimev1.ContainerMetadata{Name: name}}
	}
	for name, c := range map[string]struct {
		kind  runtimev1.ContainerEventType
		id    string
		plain bool
		want  agentpb.PodReport_State
	}{
		"the sandbox is up":            {kind: runtimev1.ContainerEventType_CONTAINER_STARTED_EVENT, id: "pod", want: agentpb.PodReport_STARTING},
		"the app was made":             {kind: runtimev1.ContainerEventType_CONTAINER_CREATED_EVENT, id: "app", want: agentpb.PodReport_STARTING},
		"the app runs":                 {kind: runtimev1.ContainerEventType_CONTAINER_STARTED_EVENT, id: "app", want: agentpb.PodReport_STARTED},
		"one that is not listed runs":  {kind: runtimev1.ContainerEventType_CONTAINER_STARTED_EVENT, id: "new", want: agentpb.PodReport_STARTED},
		"the sidecar runs, not an app": {kind: runtimev1.ContainerEventType_CONTAINER_STARTED_EVENT, id: "proxy", want: agentpb.PodReport_STARTING},
		"the app ended":                {kind: runtimev1.ContainerEventType_CONTAINER_STOPPED_EVENT, id: "app", want: none},
		"the sandbox ended":            {kind: runtimev1.ContainerEventType_CONTAINER_STOPPED_EVENT, id: "pod", want: agentpb.PodReport_STOPPED},
		"no replica":                   {kind: runtimev1.ContainerEventType_CONTAINER_STARTED_EVENT, id: "app", plain: true, want: none},
	} {
		t.Run(name, func(t *testing.T) {
			sandbox := &runtimev1.PodSandboxStatus{
				Id: "pod", Metadata: &runtimev1.PodSandboxMetadata{Namespace: "default", Name: "hello-a", Uid: "u1"},
				Network: &runtimev1.PodSandboxNetworkStatus{Ip: "10.244.0.7"}, Labels: map[string]string{serving.RevisionLabelKey: "hello"},
			}
			if c.plain {
				sandbox.Labels = nil
			}
			got := readEvent(&runtimev1.ContainerEventResponse{
				ContainerId: c.id, ContainerEventType: c.kind, PodSandboxStatus: sandbox,
				ContainersStatuses: []*runtimev1.ContainerStatus{container("proxy", serving.SidecarContainerName), container("app", "user-container")},
			})
			if got.GetState() != c.want || c.want != none && (got.GetName() != "hello-a" || got.GetUid() != "u1" || got.GetIp() != "10.244.0.7") {
				t.Errorf("%v", got)
			}
		})
	}
}

package build

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Annotations of Ebb's own.
const (
	// ReplicaProxyKey, a label on pods, says where the replica's Envoy runs: node or sidecar.
	ReplicaProxyKey = "ebb.dev/replica-proxy"
	// NodeProxiesKey, on Nodes, is how many Envoys serve the node's replicas.
	NodeProxiesKey = "ebb.dev/replica-proxies"
	// NodeAddressKey, on Nodes, is where those Envoys listen, if it is not the node's internal address.
	NodeAddressKey = "ebb.dev/replica-proxy-address"
	// SidecarMode and NodeMode are the values of ReplicaProxyKey.
	SidecarMode = "sidecar"
	NodeMode    = "node"
)

// firstPort begins the range in which node proxies listen, one port a replica. It ends below the ephemeral ports.
const (
	firstPort = 20000
	ports     = 1 << 13
)

// Node is what is needed of a Node.
type Node struct {
	Name string
	// Address is where its proxies listen.
	Address string
	// Proxies is how many there are; 0 is none.
	Proxies int
}

// NodeOf reads a Node.
func NodeOf(node *corev1.Node) Node {
	out := Node{Name: node.Name, Address: node.Annotations[NodeAddressKey]}
	if n, err := strconv.Atoi(node.Annotations[NodeProxiesKey]); err == nil && n > 0 {
		out.Proxies = n
	}
	for _, address := range node.Status.Addresses {
		if out.Address == "" && address.Type == corev1.NodeInternalIP {
			out.Address = address.Address
		}
	}
	return out
}

// IsReplica reports whether a pod belongs to a revision.
func IsReplica(pod *corev1.Pod) bool { return pod.Labels[serving.RevisionLabelKey] != "" }

// RevisionOf is the revision a pod belongs to.
func RevisionOf(pod *corev1.Pod) model.Key {
	return model.Key{Namespace: pod.Namespace, Name: pod.Labels[serving.RevisionLabelKey]}
}

// IsOver reports whether a pod has ended for good and its address may be another's: it is no replica any more.
func IsOver(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// Known is what is known of a replica from elsewhere, and first: its address before the API has it.
type Known struct {
	IP      string
	Started time.Time
}

// Taken reports whether another replica of the node is served on a port.
type Taken func(port uint32) bool

// Replica is a pod as its proxy serves it. What HDS and the drainers found out is kept from before.
func Replica(pod *corev1.Pod, revision model.Revision, node Node, known Known, taken Taken, before *store.Replica) *store.Replica {
	out := &store.Replica{}
	if before != nil && before.UID == string(pod.UID) {
		*out = *before
	}
	if at := model.NodeOf(out.Proxy); at != "" && pod.Spec.NodeName != "" && at != pod.Spec.NodeName {
		// It came to another node than the one that spoke for it before it was bound: nothing of what was found out there is true.
		*out = store.Replica{}
	}
	out.Pod = model.Key{Namespace: pod.Namespace, Name: pod.Name}
	out.UID = string(pod.UID)
	out.Revision = revision
	out.Node = pod.Spec.NodeName
	out.Terminating = pod.DeletionTimestamp != nil
	out.Failing = failing(pod)
	started := startedAt(pod)
	if n := restarts(pod); n != out.Restarts {
		// What was found out is of a process that is gone.
		out.Restarts, out.Started, out.Answers = n, started, out.PodReady
	}
	if ready := podReady(pod); ready != out.PodReady {
		out.PodReady, out.WasReady = ready, true
		// Before it was ever ready HDS may have been first; from then on the pod's own word counts.
		out.Answers = ready
	}
	if out.Started.IsZero() {
		out.Started = started
	}
	if out.Started.IsZero() && out.Restarts == 0 {
		out.Started = known.Started
	}
	ip := pod.Status.PodIP
	if ip == "" {
		ip = known.IP
	}
	proxy, listen := out.Proxy, out.Listen
	place(out, pod, node, ip, taken)
	if out.Proxy != proxy || out.Listen != listen {
		out.Programmed, out.Listening = false, false
	}
	return out
}

// place says which proxy serves the replica and where. Both follow from the pod's address, so that they are the same
// after a restart of the control plane; where two addresses of a node would share a port the later one has the next.
func place(out *store.Replica, pod *corev1.Pod, node Node, ip string, taken Taken) {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return
	}
	moved := out.App.Host != ip
	out.App = model.Address{Host: ip, Port: out.Revision.Port}
	if pod.Labels[ReplicaProxyKey] == SidecarMode {
		out.Proxy = model.SidecarID(out.Pod)
		out.App.Host = "127.0.0.1"
		out.Listen = model.Address{Host: ip, Port: networking.ReplicaHTTPSPort}
		return
	}
	if node.Proxies == 0 || node.Address == "" {
		return
	}
	port := out.Listen.Port
	if moved || port == 0 {
		slot := lowBits(address)
		if pod.Status.HostIP == ip || pod.Spec.HostNetwork {
			// No network of its own: the app's port tells replicas apart.
			slot = out.Revision.Port
		}
		port = freePort(slot, taken)
	}
	out.Proxy = model.NodeProxyID(node.Name, int(port-firstPort)%node.Proxies)
	out.Listen = model.Address{Host: node.Address, Port: port}
}

// freePort is the port of a slot, or the next that no other replica has.
func freePort(slot uint32, taken Taken) uint32 {
	for i := range uint32(ports) {
		if port := firstPort + (slot+i)%ports; taken == nil || !taken(port) {
			return port
		}
	}
	return firstPort + slot%ports
}

func lowBits(address netip.Addr) uint32 {
	bytes := address.AsSlice()
	return uint32(bytes[len(bytes)-2])<<8 | uint32(bytes[len(bytes)-1])
}

func podReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// startedAt is when the last of the pod's containers was started, if all are running.
func startedAt(pod *corev1.Pod) time.Time {
	var last time.Time
	if len(pod.Status.ContainerStatuses) < len(pod.Spec.Containers) {
		return time.Time{}
	}
	for _, status := range pod.Status.ContainerStatuses {
		if status.State.Running == nil {
			return time.Time{}
		}
		if at := status.State.Running.StartedAt.Time; at.After(last) {
			last = at
		}
	}
	return last
}

// restarts is how often the pod's containers were started again.
func restarts(pod *corev1.Pod) int32 {
	var n int32
	for _, status := range pod.Status.ContainerStatuses {
		n += status.RestartCount
	}
	return n
}

// crashes is after how many restarts a container that is backing off counts as one that cannot start.
const crashes = 2

// failing is why a pod cannot come up, in the runtime's own words; empty while it may.
func failing(pod *corev1.Pod) string {
	statuses := append(append([]corev1.ContainerStatus(nil), pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...)
	for _, status := range statuses {
		waiting := status.State.Waiting
		if waiting == nil {
			continue
		}
		switch waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
			"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError":
			return fmt.Sprintf("container %s: %s: %s", status.Name, waiting.Reason, waiting.Message)
		case "CrashLoopBackOff":
			if status.RestartCount >= crashes {
				return fmt.Sprintf("container %s crashes: %s", status.Name, lastWords(status))
			}
		}
	}
	return ""
}

// lastWords is how a container last ended.
func lastWords(status corev1.ContainerStatus) string {
	if ended := status.LastTerminationState.Terminated; ended != nil {
		return fmt.Sprintf("exit code %d (%s) %s", ended.ExitCode, ended.Reason, ended.Message)
	}
	return status.State.Waiting.Message
}

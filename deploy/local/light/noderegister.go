package light

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	leaseNamespace = corev1.NamespaceNodeLease
	leaseSeconds   = 40
	leasePeriod    = 10 * time.Second
	statusPeriod   = 5 * time.Minute // as the kubelet, when nothing changes
)

func totalMemory() (int64, error) {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo: no MemTotal")
}

func (n *node) capacity() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(n.memory, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(int64(n.MaxPods), resource.DecimalSI),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
	}
}

func (n *node) labels() map[string]string {
	labels := map[string]string{
		corev1.LabelHostname: n.Name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: runtime.GOARCH,
		"ebb.dev/node-kind": "light",
	}
	for k, v := range n.Labels {
		labels[k] = v
	}
	return labels
}

// register makes the Node, or takes over the one of its last run.
func (n *node) register(ctx context.Context) error {
	nodes := n.client.CoreV1().Nodes()
	fresh := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.labels()}, Spec: corev1.NodeSpec{Taints: n.Taints}}
	if s := n.host.Subnet(); s.IsValid() {
		fresh.Spec.PodCIDR, fresh.Spec.PodCIDRs = s.String(), []string{s.String()}
	}
	have, err := nodes.Create(ctx, fresh, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		if have, err = nodes.Get(ctx, n.Name, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("register: %w", err)
		}
		if have.Labels == nil {
			have.Labels = map[string]string{}
		}
		for k, v := range n.labels() {
			have.Labels[k] = v
		}
		have.Spec.Taints = n.Taints
		have, err = nodes.Update(ctx, have, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	have.Status = n.nodeStatus(have.Status)
	if _, err := nodes.UpdateStatus(ctx, have, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("register: status: %w", err)
	}
	return n.renewLease(ctx)
}

func (n *node) nodeStatus(old corev1.NodeStatus) corev1.NodeStatus {
	now := metav1.Now()
	condition := func(t corev1.NodeConditionType, s corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		c := corev1.NodeCondition{Type: t, Status: s, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now}
		for _, o := range old.Conditions {
			if o.Type == t && o.Status == s {
				c.LastTransitionTime = o.LastTransitionTime
			}
		}
		return c
	}
	version := "v1.36.3-ebb-light"
	return corev1.NodeStatus{
		Capacity: n.capacity(), Allocatable: n.capacity(),
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.nodeIP.String()}, {Type: corev1.NodeHostName, Address: n.Name}},
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "the light node does not evict"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "the light node does not evict"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "the light node does not evict"),
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "the light node runs pods as processes ("+string(n.host.Ability().Mode)+")"),
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(n.apiPort())}},
		NodeInfo: corev1.NodeSystemInfo{
			KubeletVersion: version, ContainerRuntimeVersion: "ebb-light://1", OperatingSystem: "linux", Architecture: runtime.GOARCH,
			OSImage: "Ebb light node", MachineID: n.Name,
		},
	}
}

// heartbeat keeps the Node alive: a lease every few seconds, its status rarely.
func (n *node) heartbeat(ctx context.Context) {
	lease, status := time.NewTicker(leasePeriod), time.NewTicker(statusPeriod)
	defer lease.Stop()
	defer status.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-lease.C:
			err = n.renewLease(ctx)
		case <-status.C:
			var have *corev1.Node
			if have, err = n.client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{}); err == nil {
				have.Status = n.nodeStatus(have.Status)
				_, err = n.client.CoreV1().Nodes().UpdateStatus(ctx, have, metav1.UpdateOptions{})
			}
		}
		if err != nil && ctx.Err() == nil {
			n.Log.Warn("node heartbeat failed", "node", n.Name, "err", err)
		}
	}
}

func (n *node) renewLease(ctx context.Context) error {
	leases := n.client.CoordinationV1().Leases(leaseNamespace)
	now := metav1.NowMicro()
	lease, err := leases.Get(ctx, n.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name, Namespace: leaseNamespace},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &n.Name, LeaseDurationSeconds: ptr.To[int32](leaseSeconds), RenewTime: &now},
		}, metav1.CreateOptions{})
		if apierrors.IsNotFound(err) {
			return nil // the API server has not made the namespace yet; the next beat tries again
		}
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime, lease.Spec.HolderIdentity = &now, &n.Name
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

package light

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"ebb.dev/ebb/deploy/local/light/sandbox"
)

// refuse says why this node does not run the pod, as the scheduler would; empty if it does. With one node there is nobody else to ask.
func (m *manager) refuse(p *corev1.Pod) string {
	if r := refuseNode(p, m.Name, m.labels(), m.Taints); r != "" {
		return "0/1 nodes are available: 1 " + r + "."
	}
	if r := m.refuseResources(p); r != "" {
		return "0/1 nodes are available: 1 " + r + "."
	}
	return m.claimPorts(p)
}

// refuseNode compares selector, affinity and taints.
func refuseNode(p *corev1.Pod, name string, have map[string]string, taints []corev1.Taint) string {
	if !labels.SelectorFromSet(p.Spec.NodeSelector).Matches(labels.Set(have)) {
		return "node(s) didn't match Pod's node affinity/selector"
	}
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		terms := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
		if !slices.ContainsFunc(terms, func(t corev1.NodeSelectorTerm) bool {
			return matches(t.MatchExpressions, have) && matches(t.MatchFields, map[string]string{"metadata.name": name}) && len(t.MatchExpressions)+len(t.MatchFields) > 0
		}) {
			return "node(s) didn't match Pod's node affinity/selector"
		}
	}
	for _, t := range taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			continue
		}
		if !slices.ContainsFunc(p.Spec.Tolerations, func(tol corev1.Toleration) bool { return tolerates(tol, t) }) {
			return fmt.Sprintf("node(s) had untolerated taint {%s: %s}", t.Key, t.Value)
		}
	}
	return ""
}

func tolerates(tol corev1.Toleration, t corev1.Taint) bool {
	return (tol.Effect == "" || tol.Effect == t.Effect) && (tol.Key == "" || tol.Key == t.Key) &&
		(tol.Operator == corev1.TolerationOpExists || tol.Value == t.Value)
}

func matches(requirements []corev1.NodeSelectorRequirement, have map[string]string) bool {
	operators := map[corev1.NodeSelectorOperator]selection.Operator{
		corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn, corev1.NodeSelectorOpExists: selection.Exists,
		corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist, corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
	}
	for _, r := range requirements {
		req, err := labels.NewRequirement(r.Key, operators[r.Operator], r.Values)
		if err != nil || !req.Matches(labels.Set(have)) {
			return false
		}
	}
	return true
}

// refuseResources adds up the requests of the pods that were taken.
func (m *manager) refuseResources(p *corev1.Pod) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	capacity := m.capacity()
	cpu, memory, count := requests(p, corev1.ResourceCPU), requests(p, corev1.ResourceMemory), 1
	for _, other := range m.pods {
		if other.uid != p.UID && other.admitted {
			cpu.Add(other.cpu)
			memory.Add(other.memory)
			count++
		}
	}
	switch {
	case count > m.MaxPods:
		return "Too many pods"
	case cpu.Cmp(capacity[corev1.ResourceCPU]) > 0:
		return "Insufficient cpu"
	case memory.Cmp(capacity[corev1.ResourceMemory]) > 0:
		return "Insufficient memory"
	}
	if mine := m.pods[p.UID]; mine != nil {
		mine.admitted, mine.cpu, mine.memory = true, requests(p, corev1.ResourceCPU), requests(p, corev1.ResourceMemory)
	}
	return ""
}

// requests is what the scheduler counts: the sum of the containers, or the largest init container if that is more.
func requests(p *corev1.Pod, name corev1.ResourceName) resource.Quantity {
	var sum resource.Quantity
	for _, c := range p.Spec.Containers {
		sum.Add(c.Resources.Requests[name])
	}
	for _, c := range p.Spec.InitContainers {
		q := c.Resources.Requests[name]
		if sidecar(&c) {
			sum.Add(q)
		} else if q.Cmp(sum) > 0 {
			sum = q.DeepCopy()
		}
	}
	return sum
}

// claimPorts takes the pod's ports in plain mode, where all pods share the host's address.
func (m *manager) claimPorts(p *corev1.Pod) string {
	if m.host.Ability().Mode != sandbox.Plain {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var want []int32
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			want = append(want, port.ContainerPort)
			if uid, taken := m.ports[port.ContainerPort]; taken && uid != p.UID {
				holder := string(uid)
				if other := m.pods[uid]; other != nil {
					holder = other.key()
				}
				return "port " + strconv.Itoa(int(port.ContainerPort)) + " is taken by pod " + holder +
					"; this node runs one replica a port: run ebb up as root or allow user namespaces"
			}
		}
	}
	for _, port := range want {
		m.ports[port] = p.UID
	}
	return ""
}

func sidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

package workload

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// kubeletProbe makes p one that the kubelet takes. A period of 0 is Knative's own probing, as fast as it can; Envoy does that, and the
// kubelet looks every second beside it.
func kubeletProbe(p *corev1.Probe) {
	if p != nil && p.PeriodSeconds == 0 {
		p.PeriodSeconds = 1
	}
}

// aim points p at the serving port where it names none, or names it as the user called it. Unless other ports may be probed, it is
// pointed there in any case.
func aim(p *corev1.Probe, port int32, others bool) {
	if p == nil {
		return
	}
	for _, at := range []*intstr.IntOrString{httpPort(p), tcpPort(p)} {
		if at != nil && (!others || at.Type == intstr.String || at.IntVal == 0) {
			*at = intstr.FromInt32(port)
		}
	}
	if p.GRPC != nil && p.GRPC.Port == 0 {
		p.GRPC.Port = port
	}
}

func httpPort(p *corev1.Probe) *intstr.IntOrString {
	if p.HTTPGet == nil {
		return nil
	}
	return &p.HTTPGet.Port
}

func tcpPort(p *corev1.Probe) *intstr.IntOrString {
	if p.TCPSocket == nil {
		return nil
	}
	return &p.TCPSocket.Port
}

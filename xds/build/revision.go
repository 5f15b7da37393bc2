package build

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/crds/networking"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/xds/model"
)

// Revision is what routing needs to know of a Revision.
func Revision(revision *servingv1.Revision) model.Revision {
	spec := &revision.Spec
	account := spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	out := model.Revision{
		Key:            model.Key{Namespace: revision.Namespace, Name: revision.Name},
		UID:            string(revision.UID),
		Protocol:       model.HTTP1,
		ServiceAccount: account,
		Concurrency:    uint32(min(max(spec.Concurrency(), 0), math.MaxInt32)),
		Port:           uint32(spec.UserPort()),
		Timeouts: model.Timeouts{
			Request:       seconds(spec.TimeoutSeconds),
			ResponseStart: seconds(spec.ResponseStartTimeoutSeconds),
			Idle:          seconds(spec.IdleTimeoutSeconds),
		},
		Failed: failure(revision),
	}
	if spec.Protocol() == networking.ProtocolH2C {
		out.Protocol = model.H2C
	}
	out.Probe = probe(spec.UserContainer(), out.Port)
	return out
}

func seconds(n *int64) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

// failure is why a revision can never start, as far as its own status tells: its image cannot be had. What its pods run
// into is seen at the pods.
func failure(revision *servingv1.Revision) string {
	condition := revision.Status.GetCondition(servingv1.RevisionConditionContainerHealthy)
	if condition.IsFalse() && condition.Reason == servingv1.ReasonContainerMissing {
		return condition.Message
	}
	return ""
}

// probe is a container's readiness probe as Envoy carries it out. Without one, a listening port is ready. An exec probe is
// the kubelet's: nil.
func probe(container *corev1.Container, port uint32) *model.Probe {
	p := container.ReadinessProbe
	if p == nil {
		return &model.Probe{Kind: model.ProbeTCP, Port: port}
	}
	out := &model.Probe{
		Port:             port,
		Period:           time.Duration(p.PeriodSeconds) * time.Second,
		InitialDelay:     time.Duration(p.InitialDelaySeconds) * time.Second,
		Timeout:          time.Duration(p.TimeoutSeconds) * time.Second,
		SuccessThreshold: uint32(max(p.SuccessThreshold, 0)),
	}
	switch {
	case p.HTTPGet != nil:
		out.Kind, out.Path, out.Host = model.ProbeHTTP, p.HTTPGet.Path, p.HTTPGet.Host
		out.Port = probePort(p.HTTPGet.Port.IntVal, port)
		for _, header := range p.HTTPGet.HTTPHeaders {
			out.Headers = append(out.Headers, model.Header{Name: header.Name, Value: header.Value})
		}
		if p.HTTPGet.Scheme == corev1.URISchemeHTTPS {
			// The kubelet accepts any certificate; Envoy's check over HDS cannot, so the kubelet's word stands.
			return nil
		}
	case p.GRPC != nil:
		out.Kind, out.Port = model.ProbeGRPC, probePort(p.GRPC.Port, port)
		if p.GRPC.Service != nil {
			out.Service = *p.GRPC.Service
		}
	case p.Exec != nil:
		return nil
	default:
		out.Kind = model.ProbeTCP
		if p.TCPSocket != nil {
			out.Port = probePort(p.TCPSocket.Port.IntVal, port)
		}
	}
	return out
}

func probePort(named int32, port uint32) uint32 {
	if named > 0 {
		return uint32(named)
	}
	return port
}

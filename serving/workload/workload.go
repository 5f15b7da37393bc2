package workload

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/autoscaling"
	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/naming"
)

// ReplicaProxyKey says where the replica's Envoy runs: a ReplicaProxy. It is an annotation on revision templates, a label on
// namespaces, and the label that pods are found by.
const ReplicaProxyKey = "ebb.dev/replica-proxy"

// ReplicaProxy is where the Envoy of a replica runs.
type ReplicaProxy string

const (
	// NodeProxy is an Envoy of the node's, which serves all replicas there.
	NodeProxy ReplicaProxy = "node"
	// SidecarProxy is an Envoy in the pod.
	SidecarProxy ReplicaProxy = "sidecar"
)

// appLabelKey is the label by which much tooling groups pods.
const appLabelKey = "app"

// defaultContainerKey tells kubectl which container is meant where none is named.
const defaultContainerKey = "kubectl.kubernetes.io/default-container"

// ChooseProxy returns where a revision's Envoys run: as its annotation says, else its namespace's label, else fallback.
// What is neither node nor sidecar counts as not said.
func ChooseProxy(revision, namespace map[string]string, fallback ReplicaProxy) ReplicaProxy {
	for _, said := range []string{revision[ReplicaProxyKey], namespace[ReplicaProxyKey]} {
		if p := ReplicaProxy(said); p == NodeProxy || p == SidecarProxy {
			return p
		}
	}
	return fallback
}

// Input is what decides a revision's workload.
type Input struct {
	Revision *servingv1.Revision
	// Digests are the images to run in place of those that the spec names, by container name. One that is "" or absent stays as named.
	Digests map[string]string
	Config  *config.Set
	Proxy   ReplicaProxy
	// PreStop returns what user containers wait for before they are stopped, where the proxy is the node's; nil is nothing.
	PreStop func(*servingv1.Revision) *corev1.LifecycleHandler
	// Sidecar adds the proxy's container to the pod, where the proxy is a sidecar. It must be pure.
	Sidecar func(*corev1.PodSpec, *servingv1.Revision, *config.Set)
}

// NewPodAutoscaler returns the revision's PodAutoscaler. reachable says whether requests can come.
func NewPodAutoscaler(in Input, reachable autoscalingv1alpha1.ReachabilityType) *autoscalingv1alpha1.PodAutoscaler {
	pa := podAutoscaler(in, reachable)
	pa.SetDefaults(in.Config.Autoscaler)
	return pa
}

func podAutoscaler(in Input, reachable autoscalingv1alpha1.ReachabilityType) *autoscalingv1alpha1.PodAutoscaler {
	r := in.Revision
	return &autoscalingv1alpha1.PodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{
			Name: r.Name, Namespace: r.Namespace, Labels: labels(r),
			Annotations:     without(r.Annotations, routing),
			OwnerReferences: apply.OwnerOf(r, RevisionKind),
		},
		Spec: autoscalingv1alpha1.PodAutoscalerSpec{
			ContainerConcurrency: r.Spec.Concurrency(),
			ScaleTargetRef:       corev1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: naming.Deployment(r.Name)},
			ProtocolType:         r.Spec.Protocol(),
			Reachability:         reachable,
		},
	}
}

// AdjustPodAutoscaler returns have changed into what the revision wants now, or nil if it is that already. A class and a metric that it
// got by default stay, whatever the default has become.
func AdjustPodAutoscaler(have *autoscalingv1alpha1.PodAutoscaler, in Input, reachable autoscalingv1alpha1.ReachabilityType) *autoscalingv1alpha1.PodAutoscaler {
	want := podAutoscaler(in, reachable)
	to := have.DeepCopy()
	to.Spec = want.Spec
	to.Annotations = without(have.Annotations, func(key string) bool {
		_, wanted := want.Annotations[key]
		defaulted := key == autoscaling.ClassKey.Name() || key == autoscaling.MetricKey.Name()
		return strings.HasPrefix(key, autoscaling.GroupName+"/") && !wanted && !defaulted
	})
	maps.Copy(to.Annotations, want.Annotations)
	if equality.Semantic.DeepEqual(have.Spec, to.Spec) && equality.Semantic.DeepEqual(have.Annotations, to.Annotations) {
		return nil
	}
	return to
}

// NewService returns the Service over the revision's pods. Nothing is sent to it: it makes their EndpointSlices. So it has no address of its own,
// for which every node would write its packet filter anew whenever a replica comes or goes (measured: docs/decisions/0022).
func NewService(in Input) *corev1.Service {
	r := in.Revision
	port, name := networking.ServicePort(r.Spec.Protocol())
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: r.Name, Namespace: r.Namespace, Labels: labels(r),
			Annotations:     without(r.Annotations, routingOrScaling),
			OwnerReferences: apply.OwnerOf(r, RevisionKind),
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone,
			Selector:  selector(r),
			Ports: []corev1.ServicePort{{
				Name: name, Port: port, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString(servingv1.UserPortName),
			}},
		},
	}
	if r.Spec.Protocol() == networking.ProtocolH2C {
		service.Spec.Ports[0].AppProtocol = ptr.To(networking.AppProtocolH2C)
	}
	return service
}

// AdjustService returns have with the selector and ports that the revision wants, or nil if it has them.
func AdjustService(have *corev1.Service, in Input) *corev1.Service {
	want := NewService(in)
	to := have.DeepCopy()
	to.Spec.Selector = want.Spec.Selector
	if !samePorts(have.Spec.Ports, want.Spec.Ports) {
		to.Spec.Ports = want.Spec.Ports
	}
	if equality.Semantic.DeepEqual(have.Spec, to.Spec) {
		return nil
	}
	return to
}

// samePorts compares what we say of ports, not what the cluster adds.
func samePorts(have, want []corev1.ServicePort) bool {
	return slices.EqualFunc(have, want, func(h, w corev1.ServicePort) bool {
		return h.Name == w.Name && h.Port == w.Port && h.TargetPort == w.TargetPort && ptr.Equal(h.AppProtocol, w.AppProtocol)
	})
}

// RevisionKind is what owns everything in this package.
var RevisionKind = servingv1.SchemeGroupVersion.WithKind("Revision")

// labels are those of all that a revision consists of.
func labels(r *servingv1.Revision) map[string]string {
	l := without(r.Labels, func(key string) bool { return key == serving.RouteLabelKey || key == serving.RoutingStateLabelKey })
	l[serving.RevisionLabelKey] = r.Name
	l[serving.RevisionUIDLabelKey] = string(r.UID)
	if _, named := l[appLabelKey]; !named {
		l[appLabelKey] = r.Name
	}
	return l
}

func selector(r *servingv1.Revision) map[string]string {
	return map[string]string{serving.RevisionUIDLabelKey: string(r.UID)}
}

// routing reports whether an annotation is about who sends traffic to a revision, which its children need not follow.
func routing(key string) bool {
	switch key {
	case serving.LastPinnedAnnotationKey, serving.NoGCAnnotationKey, serving.RoutingStateModifiedAnnotationKey, serving.RoutesAnnotationKey:
		return true
	}
	return false
}

// routingOrScaling is for children that the autoscaler's annotations do not concern. They may change on a running revision.
func routingOrScaling(key string) bool {
	return routing(key) || strings.HasPrefix(key, autoscaling.GroupName+"/")
}

func without(all map[string]string, drop func(key string) bool) map[string]string {
	kept := make(map[string]string, len(all))
	maps.Copy(kept, all)
	maps.DeleteFunc(kept, func(key, _ string) bool { return drop(key) })
	return kept
}

package watch

import (
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/xds/build"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Whatever comes first, the Service of the broker or the ingress, requests are answered later exactly while there is a broker.
func TestRequestsAreAnsweredLaterWhileThereIsABroker(t *testing.T) {
	ingress := &networkingv1alpha1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "hello", Labels: map[string]string{
			serving.RouteLabelKey: "hello", serving.RouteNamespaceLabelKey: "default"}},
		Spec: networkingv1alpha1.IngressSpec{Rules: []networkingv1alpha1.IngressRule{{
			Hosts: []string{"hello.default.svc.cluster.local"}, Visibility: networkingv1alpha1.IngressVisibilityClusterLocal,
			HTTP: &networkingv1alpha1.HTTPIngressRuleValue{Paths: []networkingv1alpha1.HTTPIngressPath{{
				Splits: []networkingv1alpha1.IngressBackendSplit{{IngressBackend: networkingv1alpha1.IngressBackend{
					ServiceNamespace: "default", ServiceName: "hello-v1", ServicePort: intstr.FromInt32(80)}, Percent: 100,
					AppendHeaders: map[string]string{"Knative-Serving-Revision": "hello-v1", "Knative-Serving-Namespace": "default"}}},
			}}},
		}}},
	}
	broker := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: build.AsyncBackend.Service.Namespace, Name: build.AsyncBackend.Service.Name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	s := store.New()
	w := New(s, slog.New(slog.DiscardHandler))
	later := func() bool {
		vhost, ok := s.Read().VHost(model.VHostName(model.Internal, "hello.default.svc.cluster.local"))
		if !ok {
			t.Fatal("the host is gone")
		}
		_, cluster := s.Read().Service(build.AsyncBackend.Cluster())
		aside := vhost.Routes[0].Aside
		if aside != cluster {
			t.Fatalf("route %t, cluster %t", aside, cluster)
		}
		return aside
	}
	w.ingress(ingress)
	if later() {
		t.Error("without a broker")
	}
	for range 2 {
		w.service(broker)
		w.service(broker.DeepCopy())
		if !later() {
			t.Error("with a broker")
		}
		w.ingress(ingress.DeepCopy())
		if !later() {
			t.Error("with a broker, told of the ingress again")
		}
		w.serviceGone(broker)
		if later() {
			t.Error("the broker is gone")
		}
	}
	w.service(broker)
	w.ingressGone(ingress)
	if _, cluster := s.Read().Service(build.AsyncBackend.Cluster()); cluster {
		t.Error("nobody needs the broker's cluster any more")
	}
}

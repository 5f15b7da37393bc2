package reach

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"ebb.dev/ebb/crds"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
)

func newReach(t *testing.T, objects ...client.Object) *Reach {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{crds.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return &Reach{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(), ClusterDomain: "cluster.local"}
}

func shop(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }

func TestServicesThatHaveNoRouteGetOne(t *testing.T) {
	r := newReach(t, &corev1.Service{ObjectMeta: shop("one")}, &corev1.Service{ObjectMeta: shop("two")},
		&corev1.Service{ObjectMeta: shop("alias"), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "gateway.example"}})
	name := func(s string) types.NamespacedName { return types.NamespacedName{Namespace: "shop", Name: s} }
	for range 2 {
		if err := r.Subscribers(t.Context(), name("one"), types.NamespacedName{}, name("alias"), name("missing"), name("two")); err != nil {
			t.Fatal(err)
		}
	}
	var routes networking.IngressList
	if err := r.Client.List(t.Context(), &routes); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range routes.Items {
		got = append(got, routes.Items[i].Name)
	}
	if text := strings.Join(got, " "); text != "one-subscriber two-subscriber" {
		t.Errorf("routes %s", text)
	}
}

func TestARouteThatIsSomebodyElsesIsLeftAloneAndTold(t *testing.T) {
	r := newReach(t, &corev1.Service{ObjectMeta: shop("one")}, &networking.Ingress{ObjectMeta: shop("one-subscriber")})
	err := r.Subscriber(t.Context(), types.NamespacedName{Namespace: "shop", Name: "one"})
	if err == nil || !strings.Contains(err.Error(), "Service shop/one") || !strings.Contains(err.Error(), "rename or delete it") {
		t.Errorf("error %v", err)
	}
}

func TestAWayThatIsBeingMadeIsMissingNotRefused(t *testing.T) {
	const host = "one.shop.svc.cluster.local"
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	r := newReach(t, &corev1.Service{ObjectMeta: shop("one")})
	if r.Missing(t.Context(), host, now) {
		t.Error("nobody makes it")
	}
	if err := r.Subscriber(t.Context(), types.NamespacedName{Namespace: "shop", Name: "one"}); err != nil {
		t.Fatal(err)
	}
	made, behind := r.Client, newReach(t)
	r.Client = behind.Client
	if !r.Missing(t.Context(), host, now) || r.Missing(t.Context(), "two.shop.svc.cluster.local", now) {
		t.Error("the cache does not have it yet")
	}
	r.Client = made
	if !r.Missing(t.Context(), host, now) {
		t.Error("no gateway has answered for it yet")
	}
	r.Client = behind.Client
	if r.Missing(t.Context(), host, now) {
		t.Error("it was there and is gone")
	}
}

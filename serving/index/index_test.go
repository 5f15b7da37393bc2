package index

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

func TestObjectsAreFoundUnderTheirKeys(t *testing.T) {
	meta := metav1.ObjectMeta{
		Name: "shop", Generation: 3,
		Labels:      map[string]string{serving.ConfigurationLabelKey: "shop", serving.RouteLabelKey: "shop", serving.RevisionLabelKey: "shop-00001"},
		Annotations: map[string]string{serving.RoutesAnnotationKey: "shop,canary,,shop"},
	}
	route := &servingv1.Route{ObjectMeta: meta}
	route.Spec.Traffic = []servingv1.TrafficTarget{{ConfigurationName: "shop"}, {ConfigurationName: "shop", Tag: "x"}, {RevisionName: "b"}}
	route.Status.Traffic = []servingv1.TrafficTarget{{RevisionName: "a"}, {RevisionName: "b"}}
	for name, c := range map[string]struct {
		object client.Object
		want   []string
	}{
		RevisionsByConfiguration:     {&servingv1.Revision{ObjectMeta: meta}, []string{"shop"}},
		RevisionsByRoute:             {&servingv1.Revision{ObjectMeta: meta}, []string{"canary", "shop"}},
		ConfigurationsByRoute:        {&servingv1.Configuration{ObjectMeta: meta}, []string{"canary", "shop"}},
		ConfigurationsByRevisionName: {&servingv1.Configuration{ObjectMeta: meta}, []string{"shop-00003"}},
		RoutesByConfiguration:        {route, []string{"shop"}},
		RoutesByRevision:             {route, []string{"a", "b"}},
		PlaceholdersByRoute:          {&corev1.Service{ObjectMeta: meta}, []string{"shop"}},
		PodsByRevision:               {&corev1.Pod{ObjectMeta: meta}, []string{"shop-00001"}},
	} {
		if diff := cmp.Diff(c.want, Functions()[name](c.object)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := Functions()[RevisionsByConfiguration](&servingv1.Revision{}); got != nil {
		t.Errorf("an object without a key is found under %q", got)
	}
}

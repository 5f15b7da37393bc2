package enqueue

import (
	"context"
	"errors"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"ebb.dev/ebb/crds"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
)

func TestObjectsAreFoundByWhatIsAskedOfThem(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := crds.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	broker := func(namespace, name string) *eventingv1.Broker {
		return &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	var failing error
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(broker("shop", "a"), broker("shop", "b"), broker("till", "a")).
		WithInterceptorFuncs(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if failing != nil {
				return failing
			}
			return c.List(ctx, list, options...)
		}}).Build()
	names := func(requests []ctrl.Request) (out []string) {
		for _, r := range requests {
			out = append(out, r.String())
		}
		slices.Sort(out)
		return out
	}
	kind := &eventingv1.BrokerList{}
	isA := func(b *eventingv1.Broker) bool { return b.Name == "a" }
	for what, tt := range map[string]struct {
		got  []ctrl.Request
		want []string
	}{
		"all":                  {All(t.Context(), c, kind), []string{"shop/a", "shop/b", "till/a"}},
		"those of a namespace": {All(t.Context(), c, kind, client.InNamespace("shop")), []string{"shop/a", "shop/b"}},
		"those of a name":      {Those(t.Context(), c, kind, isA), []string{"shop/a", "till/a"}},
		"of both":              {Those(t.Context(), c, kind, isA, client.InNamespace("till")), []string{"till/a"}},
	} {
		if got := names(tt.got); !slices.Equal(got, tt.want) || len(kind.Items) > 0 {
			t.Errorf("%s: %v, want %v", what, got, tt.want)
		}
	}
	failing = errors.New("not read")
	if got := All(t.Context(), c, kind); got != nil {
		t.Errorf("what cannot be read: %v", got)
	}
}

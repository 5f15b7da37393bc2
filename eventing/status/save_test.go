package status

import (
	"context"
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"ebb.dev/ebb/crds"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
)

// api is one that has the objects, and fails with the error once it is set.
type api struct {
	client.Client
	writes int
	err    error
}

func newAPI(t *testing.T, objects ...client.Object) *api {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := crds.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	a := &api{}
	a.Client = fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(meta.NewDefaultRESTMapper(nil)).
		WithObjects(objects...).WithStatusSubresource(&eventingv1.Broker{}).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, options ...client.SubResourceUpdateOption) error {
				if a.err != nil {
					return a.err
				}
				a.writes++
				return c.SubResource(name).Update(ctx, o, options...)
			},
		}).Build()
	return a
}

func broker() *eventingv1.Broker {
	return &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}}
}

func TestOnlyAStatusThatSaysSomethingNewIsWritten(t *testing.T) {
	a := newAPI(t, broker())
	var b eventingv1.Broker
	if err := a.Get(t.Context(), client.ObjectKeyFromObject(broker()), &b); err != nil {
		t.Fatal(err)
	}
	var now eventingv1.BrokerStatus
	now.ObservedGeneration = 3
	for range 2 {
		if err := Save(t.Context(), a.Client, &b, &b.Status, now); err != nil {
			t.Fatal(err)
		}
	}
	if a.writes != 1 || b.Status.ObservedGeneration != 3 {
		t.Errorf("%d writes, status %+v", a.writes, b.Status)
	}
	var stored eventingv1.Broker
	if err := a.Get(t.Context(), client.ObjectKeyFromObject(&b), &stored); err != nil || stored.Status.ObservedGeneration != 3 {
		t.Errorf("stored %+v, %v", stored.Status, err)
	}
}

func TestTheStatusOfWhatIsGoneIsNoError(t *testing.T) {
	a := newAPI(t)
	b := broker()
	var now eventingv1.BrokerStatus
	now.ObservedGeneration = 3
	if err := Save(t.Context(), a.Client, b, &b.Status, now); err != nil {
		t.Error(err)
	}
}

func TestAStatusThatIsNotWrittenNamesItsObject(t *testing.T) {
	a := newAPI(t, broker())
	a.err = errors.New("conflict")
	b := broker()
	var now eventingv1.BrokerStatus
	now.ObservedGeneration = 3
	err := Save(t.Context(), a.Client, b, &b.Status, now)
	if !errors.Is(err, a.err) || !strings.Contains(err.Error(), "Broker shop/orders") {
		t.Errorf("error %v", err)
	}
}

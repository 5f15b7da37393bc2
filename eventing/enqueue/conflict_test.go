package enqueue

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
)

func TestAConflictIsLookedAtAgain(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "triggers"}, "orders", errors.New("it has been modified"))
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		err, want error
		after     time.Duration
	}{
		"all is well": {nil, nil, time.Minute},
		"a conflict":  {fmt.Errorf("write the status of Trigger shop/orders: %w", conflict), nil, conflictDelay},
		"an error":    {broken, broken, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Anew(func(context.Context, ctrl.Request) (ctrl.Result, error) {
				return ctrl.Result{RequeueAfter: time.Minute}, tt.err
			})(t.Context(), ctrl.Request{})
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || got.RequeueAfter != tt.after {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

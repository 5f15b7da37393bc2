package enqueue

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// conflictDelay gives the cache time to show what a write conflicted with.
const conflictDelay = 50 * time.Millisecond

// Anew is a reconciler that looks again at an object that somebody changed while it was looked at: a conflict is no error.
func Anew(look reconcile.Func) reconcile.Func {
	return func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
		result, err := look(ctx, request)
		if apierrors.IsConflict(err) {
			ctrl.LoggerFrom(ctx).V(1).Info("looked at again", "conflict", err.Error())
			return ctrl.Result{RequeueAfter: conflictDelay}, nil
		}
		return result, err
	}
}

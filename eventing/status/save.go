package status

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Save gives an object a status and stores it if it says something new. at is the object's own status. An object that is gone meanwhile is
// no error.
func Save[S any](ctx context.Context, c client.Client, object client.Object, at *S, now S) error {
	if equality.Semantic.DeepEqual(*at, now) {
		return nil
	}
	*at = now
	if err := c.Status().Update(ctx, object); client.IgnoreNotFound(err) != nil {
		kind, _ := c.GroupVersionKindFor(object) // it was read by that kind
		return fmt.Errorf("write the status of %s %s: %w", kind.Kind, client.ObjectKeyFromObject(object), err)
	}
	return nil
}

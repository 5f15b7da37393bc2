package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ebb.dev/ebb/serving/readyourwrites"
)

// ErrBehind says that the cache had not seen everything the decision should have known. Deciding again is all it takes.
var ErrBehind = errors.New("the cache is behind")

// behindDelay gives the cache time to catch up.
const behindDelay = 20 * time.Millisecond

// Applier applies plans. Its methods may be called concurrently.
type Applier struct {
	// Client writes, and reads from the cache.
	Client *readyourwrites.Client
	// Live reads from the API server.
	Live client.Reader
	// Events tells of what happened.
	Events events.EventRecorder
	// Log takes one line for each object written.
	Log *slog.Logger
}

// Apply carries out p for owner. The error is ErrBehind if an object to create is there already or one to change has changed.
func (a *Applier) Apply(ctx context.Context, owner client.Object, p Plan) error {
	if err := a.each(len(p.Create), func(i int) error { return a.create(ctx, owner, p.Create[i]) }); err != nil {
		return err
	}
	if err := a.each(len(p.Update), func(i int) error { return a.update(ctx, owner, p.Update[i]) }); err != nil {
		return err
	}
	return a.each(len(p.Delete), func(i int) error { return a.delete(ctx, owner, p.Delete[i]) })
}

// each calls do side by side and returns all of its errors. One that says more than ErrBehind is worth more.
func (a *Applier) each(n int, do func(i int) error) error {
	if n == 1 {
		return do(0)
	}
	failures := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { failures[i] = do(i) })
	}
	all.Wait()
	var real []error
	behind := false
	for _, err := range failures {
		if errors.Is(err, ErrBehind) {
			behind = true
		} else if err != nil {
			real = append(real, err)
		}
	}
	if len(real) == 0 && behind {
		return ErrBehind
	}
	return errors.Join(real...)
}

func (a *Applier) create(ctx context.Context, owner, object client.Object) error {
	kind, name := a.kindOf(object), client.ObjectKeyFromObject(object)
	err := a.Client.Create(ctx, object)
	switch {
	case apierrors.IsAlreadyExists(err):
		return a.observe(ctx, object)
	case err != nil:
		a.Tell(owner, Warning("CreationFailed", fmt.Sprintf("Failed to create %s %q: %v", kind, name.Name, err)).about(object))
		return fmt.Errorf("create %s %s: %w", kind, name, err)
	}
	a.Log.Debug("created", "kind", kind, "object", name.String())
	a.Tell(owner, Normal("Created", fmt.Sprintf("Created %s %q", kind, name.Name)).about(object))
	return nil
}

// observe looks at what the cache does not show, so that the next decision knows of it.
func (a *Applier) observe(ctx context.Context, object client.Object) error {
	there := object.DeepCopyObject().(client.Object)
	err := a.Live.Get(ctx, client.ObjectKeyFromObject(object), there)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("read %s %s: %w", a.kindOf(object), client.ObjectKeyFromObject(object), err)
	}
	if err == nil {
		a.Client.Observe(there, "")
	}
	return ErrBehind
}

func (a *Applier) update(ctx context.Context, owner client.Object, u Update) error {
	kind, name := a.kindOf(u.To), client.ObjectKeyFromObject(u.To)
	patch := client.MergeFrom(u.From)
	if u.Exclusive {
		patch = client.MergeFromWithOptions(u.From, client.MergeFromWithOptimisticLock{})
	}
	err := a.Client.Patch(ctx, u.To, patch)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return ErrBehind
	case err != nil:
		a.Tell(owner, Warning("UpdateFailed", fmt.Sprintf("Failed to update %s %q: %v", kind, name.Name, err)).about(u.To))
		return fmt.Errorf("update %s %s: %w", kind, name, err)
	}
	a.Log.Debug("updated", "kind", kind, "object", name.String())
	return nil
}

func (a *Applier) delete(ctx context.Context, owner, object client.Object) error {
	kind, name, uid := a.kindOf(object), client.ObjectKeyFromObject(object), object.GetUID()
	err := a.Client.Delete(ctx, object, client.Preconditions{UID: &uid})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	case err != nil:
		a.Tell(owner, Warning("DeletionFailed", fmt.Sprintf("Failed to delete %s %q: %v", kind, name.Name, err)).about(object))
		return fmt.Errorf("delete %s %s: %w", kind, name, err)
	}
	a.Log.Debug("deleted", "kind", kind, "object", name.String())
	a.Tell(owner, Normal("Deleted", fmt.Sprintf("Deleted %s %q", kind, name.Name)).about(object))
	return nil
}

// maxNote is how long an event's text may be, in bytes.
const maxNote = 1000

// Tell records events of object.
func (a *Applier) Tell(object client.Object, news ...Event) {
	for _, e := range news {
		a.tell(object, e)
	}
}

func (a *Applier) tell(object client.Object, e Event) {
	message := e.Message
	if len(message) > maxNote {
		message = message[:maxNote] + " …"
	}
	var related runtime.Object
	if e.Related != nil {
		related = e.Related
	}
	a.Events.Eventf(object, related, e.kind(), e.Reason, "Reconcile", "%s", message)
}

// Gone reports whether owner was deleted behind the cache's back and must not get children anew. It asks the API server only if p creates
// something although owner was looked at before, by its status.
func (a *Applier) Gone(ctx context.Context, owner client.Object, observedGeneration int64, p Plan) (bool, error) {
	if len(p.Create) == 0 || observedGeneration == 0 {
		return false, nil
	}
	there := owner.DeepCopyObject().(client.Object)
	err := a.Live.Get(ctx, client.ObjectKeyFromObject(owner), there)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s %s: %w", a.kindOf(owner), client.ObjectKeyFromObject(owner), err)
	}
	return there.GetUID() != owner.GetUID() || there.GetDeletionTimestamp() != nil, nil
}

func (a *Applier) kindOf(object client.Object) string {
	kind, err := apiutil.GVKForObject(object, a.Client.Scheme())
	if err != nil {
		return fmt.Sprintf("%T", object)
	}
	return kind.Kind
}

// Get reads an object into into and returns it, nil if there is none.
func Get[T client.Object](ctx context.Context, c client.Reader, namespace, name string, into T) (T, error) {
	var none T
	key := client.ObjectKey{Namespace: namespace, Name: name}
	err := c.Get(ctx, key, into)
	switch {
	case apierrors.IsNotFound(err):
		return none, nil
	case err != nil:
		return none, fmt.Errorf("read %T %s: %w", into, key, err)
	}
	return into, nil
}

// Result is the end of a reconcile: when to look again, the shortest of after that are not 0, and the error, unless it is none.
func Result(err error, after ...time.Duration) (reconcile.Result, error) {
	if errors.Is(err, ErrBehind) {
		after, err = append(after, behindDelay), nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	var shortest time.Duration
	for _, d := range after {
		if d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	return reconcile.Result{RequeueAfter: shortest}, nil
}

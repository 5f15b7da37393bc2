package binding

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"ebb.dev/ebb/crds/duck"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/status"
)

// lookAgain is how soon a SinkBinding is looked at again that is not ready; one that is, after settled: its sink may have moved, and subjects
// of other kinds may have been made.
const (
	lookAgain = 5 * time.Second
	settled   = time.Minute
)

// Exposer makes Services reachable through Envoy.
type Exposer interface {
	Subscribers(ctx context.Context, services ...types.NamespacedName) error
}

// Reconciler brings SinkBindings about.
type Reconciler struct {
	// Client reads what is unstructured from the API server itself.
	Client   client.Client
	Resolver *destination.Resolver
	Exposer  Exposer
	// Accounts makes as whom workloads send, Tokens proves it; without Accounts there is nobody.
	Accounts *identity.Accounts
	Tokens   Tokens
	Clock    clock.PassiveClock
	Log      *slog.Logger
}

// subjects are the kinds whose changes are followed.
var subjects = []struct {
	kind   schema.GroupKind
	object client.Object
}{
	{schema.GroupKind{Group: "apps", Kind: "Deployment"}, &appsv1.Deployment{}},
	{schema.GroupKind{Group: "apps", Kind: "StatefulSet"}, &appsv1.StatefulSet{}},
	{schema.GroupKind{Group: "apps", Kind: "DaemonSet"}, &appsv1.DaemonSet{}},
	{schema.GroupKind{Group: "batch", Kind: "Job"}, &batchv1.Job{}},
	{schema.GroupKind{Group: "batch", Kind: "CronJob"}, &batchv1.CronJob{}},
	{servingv1.SchemeGroupVersion.WithKind("Service").GroupKind(), &servingv1.Service{}},
}

// Setup adds the controller to a manager, and installs the policies once it runs.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	c := ctrl.NewControllerManagedBy(m).Named("sinkbinding").For(&sourcesv1.SinkBinding{})
	for _, s := range subjects {
		c = c.Watches(s.object, handler.EnqueueRequestsFromMapFunc(r.naming(s.kind)), builder.OnlyMetadata,
			builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{})))
	}
	c = r.Accounts.Watch(c, &sourcesv1.SinkBindingList{})
	return errors.Join(m.Add(manager.RunnableFunc(r.install)), c.Complete(enqueue.Anew(r.Reconcile)))
}

func (r *Reconciler) install(ctx context.Context) error {
	has, err := Install(ctx, r.Client)
	switch {
	case err != nil && ctx.Err() == nil:
		r.Log.Error("workloads that are made are not told their sinks at once: no policy", "error", err)
	case !has && ctx.Err() == nil:
		r.Log.Warn("this API server has no MutatingAdmissionPolicy: workloads are told their sinks after they were made, Jobs are not")
	}
	return nil
}

// naming are the SinkBindings that name an object of a kind.
func (r *Reconciler) naming(kind schema.GroupKind) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []ctrl.Request {
		return enqueue.Those(ctx, r.Client, &sourcesv1.SinkBindingList{}, func(b *sourcesv1.SinkBinding) bool {
			return kindOf(b.Spec.Subject).GroupKind() == kind && names(b.Spec.Subject, o.GetName(), o.GetLabels())
		}, client.InNamespace(o.GetNamespace()))
	}
}

// Reconcile reconciles one SinkBinding.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var b sourcesv1.SinkBinding
	if err := r.Client.Get(ctx, request.NamespacedName, &b); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if b.DeletionTimestamp != nil {
		return ctrl.Result{}, r.finalize(ctx, &b)
	}
	if !controllerutil.ContainsFinalizer(&b, Finalizer) {
		before := b.DeepCopy()
		controllerutil.AddFinalizer(&b, Finalizer)
		if err := r.Client.Patch(ctx, &b, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return ctrl.Result{}, fmt.Errorf("SinkBinding %s: %w", request, err)
		}
	}
	in := Input{Binding: &b, Now: r.Clock.Now(), Sink: r.Resolver.Require(ctx, b.Spec.Sink, b.Namespace)}
	in.Sender = r.Accounts.Settle(ctx, &b)
	in.Token = r.token(ctx, in)
	if err := r.Exposer.Subscribers(ctx, in.Sink.Service); err != nil {
		return ctrl.Result{}, fmt.Errorf("SinkBinding %s: %w", request, err)
	}
	if old, changed := former(&b); changed {
		if err := r.undo(ctx, old, b.Namespace); err != nil {
			return ctrl.Result{}, fmt.Errorf("SinkBinding %s: take back what %s %q was told: %w", request, old.Kind, old.Name, err)
		}
	}
	if in.Sink.Err == nil {
		r.tell(ctx, &in)
	}
	if apierrors.IsConflict(in.Err) {
		return ctrl.Result{}, in.Err
	}
	if err := status.Save(ctx, r.Client, &b, &b.Status, Decide(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Sink.Err != nil || in.Err != nil || in.Missing || in.Sender.Err != nil || in.Token.Err != nil {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{RequeueAfter: settled}, nil
}

// tell tells every subject that does not know yet.
func (r *Reconciler) tell(ctx context.Context, in *Input) {
	subject := in.Binding.Spec.Subject
	found, err := r.subjects(ctx, subject, in.Binding.Namespace)
	if apierrors.IsNotFound(err) {
		in.Missing = true
		return
	}
	if err != nil {
		in.Err = err
		return
	}
	var all sourcesv1.SinkBindingList
	if in.Err = r.Client.List(ctx, &all, client.InNamespace(in.Binding.Namespace)); in.Err != nil {
		return
	}
	contract := contractOf(in.Binding, in.Sink, in.Token)
	var failed []error
	for _, o := range found {
		if first := firstOf(all.Items, in.Binding, o); first != "" {
			failed = append(failed, fmt.Errorf("%s %s/%s is told its sink by SinkBinding %s already; delete one of them", o.GetKind(), o.GetNamespace(), o.GetName(), first))
			continue
		}
		before := o.DeepCopy()
		changed, err := Bind(o, contract)
		switch {
		case err != nil || !changed || o.GetDeletionTimestamp() != nil:
		case fixed(kindOf(subject).GroupKind()):
			in.Fixed = append(in.Fixed, o.GetName())
		default:
			err = r.patch(ctx, before, o)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	in.Err = errors.Join(failed...)
	if i := slices.IndexFunc(failed, apierrors.IsConflict); i >= 0 {
		in.Err = failed[i]
	}
}

// finalize takes back what was told, and lets the SinkBinding go.
func (r *Reconciler) finalize(ctx context.Context, b *sourcesv1.SinkBinding) error {
	if !controllerutil.ContainsFinalizer(b, Finalizer) {
		return nil
	}
	told := []duck.Subject{b.Spec.Subject}
	if old, changed := former(b); changed {
		told = append(told, old)
	}
	for _, s := range told {
		if err := r.undo(ctx, s, b.Namespace); err != nil {
			return fmt.Errorf("SinkBinding %s/%s: take back what %s %q was told: %w", b.Namespace, b.Name, s.Kind, s.Name, err)
		}
	}
	before := b.DeepCopy()
	controllerutil.RemoveFinalizer(b, Finalizer)
	if err := r.Client.Patch(ctx, b, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("SinkBinding %s/%s: %w", b.Namespace, b.Name, err)
	}
	return nil
}

func (r *Reconciler) undo(ctx context.Context, subject duck.Subject, namespace string) error {
	if fixed(kindOf(subject).GroupKind()) {
		return nil
	}
	found, err := r.subjects(ctx, subject, namespace)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, o := range found {
		before := o.DeepCopy()
		changed, err := Unbind(o)
		if err != nil || !changed || o.GetDeletionTimestamp() != nil {
			continue // what has no template was never told
		}
		if err := r.patch(ctx, before, o); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// patch sends what is different, unless somebody else has changed the object meanwhile.
func (r *Reconciler) patch(ctx context.Context, before, o *unstructured.Unstructured) error {
	err := r.Client.Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return fmt.Errorf("change %s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
	}
	return nil
}

// subjects reads those that a subject names, from the API server itself.
func (r *Reconciler) subjects(ctx context.Context, s duck.Subject, namespace string) ([]*unstructured.Unstructured, error) {
	if s.Name != "" {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(kindOf(s))
		if err := r.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: s.Name}, o); err != nil {
			return nil, fmt.Errorf("read %s %s/%s: %w", s.Kind, namespace, s.Name, err)
		}
		return []*unstructured.Unstructured{o}, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s.Selector)
	if err != nil {
		return nil, fmt.Errorf("spec.subject.selector: %w", err)
	}
	list := &unstructured.UnstructuredList{}
	kind := kindOf(s)
	kind.Kind += "List"
	list.SetGroupVersionKind(kind)
	if err := r.Client.List(ctx, list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("list %s in %s: %w", s.Kind, namespace, err)
	}
	out := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		out[i] = &list.Items[i]
	}
	return out, nil
}

package revision

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/crds/serving/defaulting"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/digest"
	"ebb.dev/ebb/serving/index"
	"ebb.dev/ebb/serving/naming"
	"ebb.dev/ebb/serving/settings"
	"ebb.dev/ebb/serving/status"
	"ebb.dev/ebb/serving/workload"
)

// Reconciler keeps Revisions running.
type Reconciler struct {
	Apply    *apply.Applier
	Status   *status.Writer
	Settings *settings.Store
	Images   *digest.Background
	Clock    clock.PassiveClock
	// Proxy is where a replica's Envoy runs if neither the revision nor its namespace says.
	Proxy workload.ReplicaProxy
	// PreStop and Sidecar are workload.Input's.
	PreStop func(*servingv1.Revision) *corev1.LifecycleHandler
	Sidecar func(*corev1.PodSpec, *servingv1.Revision, *config.Set)
}

// SetupWithManager starts the Reconciler with mgr. The indexes are there already.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, options controller.Options) error {
	all := handler.EnqueueRequestsFromMapFunc(r.all)
	changes := r.Settings.Changes(config.DeploymentName, config.DefaultsName, config.FeaturesName, config.ObservabilityName, config.NetworkName)
	err := builder.ControllerManagedBy(mgr).Named("ebb-revision").WithOptions(options).
		For(&servingv1.Revision{}).
		Owns(&appsv1.Deployment{}).
		Owns(&autoscalingv1alpha1.PodAutoscaler{}).
		Owns(&corev1.Service{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(ofPod), builder.WithPredicates(troubleChanged())).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.inNamespace), builder.WithPredicates(proxyChanged())).
		WatchesRawSource(source.Channel(changes, all)).
		WatchesRawSource(source.Channel(r.Images.Done(), &handler.EnqueueRequestForObject{})).
		Complete(r)
	if err != nil {
		return fmt.Errorf("revisions: %w", err)
	}
	return nil
}

// Reconcile looks at one Revision.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	revision := &servingv1.Revision{}
	if err := r.Apply.Client.Get(ctx, request.NamespacedName, revision); err != nil {
		r.Status.Forget(request.NamespacedName)
		r.Images.Forget(request.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if revision.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	in, err := r.read(ctx, revision)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("Revision %s: %w", request, err)
	}
	d := Decide(in)
	err = r.Apply.Apply(ctx, revision, d.Plan)
	if refused(err) {
		d = Refused(in, d, err)
	}
	// The status waits for the children: that it says deploying must be true.
	if err != nil && !refused(err) {
		return apply.Result(err, in.Images.Again)
	}
	wanted := revision.DeepCopy()
	wanted.Status = d.Status
	written, again, writeErr := r.Status.Write(ctx, revision, wanted, d.Pace)
	if writeErr != nil {
		return reconcile.Result{}, writeErr
	}
	if written {
		r.Apply.Tell(revision, d.News...)
	}
	if pinned(revision) {
		r.Images.Forget(request.NamespacedName)
	}
	return apply.Result(err, again, in.Images.Again)
}

// refused reports whether the API server does not want a child as it is: trying again will not help soon, and users must know.
func refused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

// read gathers what a decision is made of.
func (r *Reconciler) read(ctx context.Context, revision *servingv1.Revision) (Input, error) {
	cfg, err := r.Settings.Get(ctx)
	if err != nil {
		return Input{}, err
	}
	in := Input{Now: r.Clock.Now()}
	in.Config, in.PreStop, in.Sidecar = cfg, r.PreStop, r.Sidecar
	in.Revision = completed(revision, cfg)
	if in.Proxy, err = r.proxy(ctx, revision); err != nil {
		return in, err
	}
	in.Deployment, err = apply.Get(ctx, r.Apply.Client, revision.Namespace, naming.Deployment(revision.Name), &appsv1.Deployment{})
	if err != nil {
		return in, err
	}
	if in.PodAutoscaler, err = apply.Get(ctx, r.Apply.Client, revision.Namespace, revision.Name, &autoscalingv1alpha1.PodAutoscaler{}); err != nil {
		return in, err
	}
	if in.Service, err = apply.Get(ctx, r.Apply.Client, revision.Namespace, revision.Name, &corev1.Service{}); err != nil {
		return in, err
	}
	if NeedsPods(in.Deployment) {
		if in.Pods, err = r.pods(ctx, revision); err != nil {
			return in, err
		}
	}
	if NeedsImages(in.Revision, in.Deployment) {
		in.Images = r.Images.Look(in.Revision, cfg.Deployment)
	}
	return in, nil
}

// completed returns r with defaults if admission has not given it any. What it has is not touched: a running revision shall not change
// because a default has.
func completed(r *servingv1.Revision, cfg *config.Set) *servingv1.Revision {
	if r.Spec.TimeoutSeconds != nil {
		return r
	}
	r = r.DeepCopy()
	defaulting.Revision(r, nil, defaulting.Input{Defaults: cfg.Defaults, Features: cfg.Features})
	return r
}

func (r *Reconciler) proxy(ctx context.Context, revision *servingv1.Revision) (workload.ReplicaProxy, error) {
	namespace, err := apply.Get(ctx, r.Apply.Client, "", revision.Namespace, &corev1.Namespace{})
	if err != nil {
		return "", err
	}
	var labels map[string]string
	if namespace != nil {
		labels = namespace.Labels
	}
	return workload.ChooseProxy(revision.Annotations, labels, r.Proxy), nil
}

func (r *Reconciler) pods(ctx context.Context, revision *servingv1.Revision) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := r.Apply.Client.List(ctx, &pods, client.InNamespace(revision.Namespace),
		client.MatchingFields{index.PodsByRevision: revision.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list its pods: %w", err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return pods.Items, nil
}

// all asks for every Revision: a setting has changed.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.list(ctx)
}

func (r *Reconciler) inNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	return r.list(ctx, client.InNamespace(namespace.GetName()))
}

func (r *Reconciler) list(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	var revisions servingv1.RevisionList
	if err := r.Apply.Client.List(ctx, &revisions, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		r.Apply.Log.Error("revisions not listed", "err", err)
		return nil
	}
	requests := make([]reconcile.Request, len(revisions.Items))
	for i := range revisions.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&revisions.Items[i])
	}
	return requests
}

func ofPod(_ context.Context, pod client.Object) []reconcile.Request {
	name := pod.GetLabels()[serving.RevisionLabelKey]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
}

// troubleChanged lets pods pass that have got into trouble, or out of it.
func troubleChanged() predicate.Predicate {
	signature := func(o client.Object) string { return Signature(o.(*corev1.Pod)) }
	return predicate.Funcs{
		CreateFunc:  func(e event.CreateEvent) bool { return signature(e.Object) != "" },
		DeleteFunc:  func(e event.DeleteEvent) bool { return signature(e.Object) != "" },
		UpdateFunc:  func(e event.UpdateEvent) bool { return signature(e.ObjectOld) != signature(e.ObjectNew) },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// proxyChanged lets namespaces pass that want their replicas' Envoys elsewhere than before.
func proxyChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetLabels()[workload.ReplicaProxyKey] != e.ObjectNew.GetLabels()[workload.ReplicaProxyKey]
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

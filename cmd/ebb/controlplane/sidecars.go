package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving"
	"ebb.dev/ebb/serving/workload"
	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
)

// ownReport takes what a sidecar says of its own pod, and of no other: its address, and that its app listens, before the API has it.
func (n *node) ownReport(peer identity.Peer, pod model.Key, report *agentpb.PodReport) error {
	if pod != peer.Pod {
		return status.Errorf(codes.PermissionDenied, "the sidecar of pod %s speaks of pod %s", peer.Pod, pod)
	}
	// A pod that the watch has not told of yet is placed when it does, by what the API server knows then.
	replica, ok := n.store.Read().Replica(pod)
	if !ok {
		return nil
	}
	switch report.GetState() {
	case agentpb.PodReport_STARTING, agentpb.PodReport_STARTED:
		n.reported(pod, replica.Node, report)
	}
	return nil
}

// ownPod is a sidecar's pod if it is being deleted. Containers are stopped for other reasons too, and anybody may ask a sidecar: a pod
// that stays must not be taken out of service.
func (n *node) ownPod(ctx context.Context, peer identity.Peer) []model.Key {
	if peer.Pod.IsZero() {
		return nil
	}
	replica, ok := n.store.Read().Replica(peer.Pod)
	if !ok || !replica.Terminating && !n.deleted(ctx, peer.Pod) {
		return nil
	}
	return []model.Key{peer.Pod}
}

// podDeleted asks the API server itself: the kubelet may hear of a deletion before our watch does.
func (c *controlPlane) podDeleted(ctx context.Context, pod model.Key) bool {
	object, err := c.kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return apierrors.IsNotFound(err)
	}
	return object.DeletionTimestamp != nil
}

// trustName is the ConfigMap of the roots and of what sidecars' Envoys start with: in the namespaces of Ebb's own agents, and in each that has sidecars.
const trustName = "ebb-trust"

// agentNamespaces are those of the agents that are no sidecars: gateways and nodes, and the event broker.
var agentNamespaces = []string{identity.DefaultAccounts().Gateway.Namespace, identity.DefaultAccounts().Broker.Namespace}

// trustAgain is how often a namespace's roots are looked at without a reason: somebody may have removed them.
const trustAgain = 10 * time.Minute

// trustKeeper keeps the roots in every namespace whose pods have sidecars: a pod can mount only what its own namespace has.
type trustKeeper struct {
	client client.Client
	// live reads and writes ConfigMaps past the cache, which holds those of the settings only.
	live     client.Client
	fallback serving.ReplicaProxy
	roots    func() string
	// bootstrap is what sidecars' Envoys start with.
	bootstrap []byte
	// own are the namespaces of Ebb's own agents, where they find the roots too; none where they read a file.
	own []string
	// image makes the sidecars' image if it is to be made here; nil otherwise.
	image func(context.Context) error
}

// setupTrust makes the reconciler that follows revisions, namespaces and the roots.
func (c *controlPlane) setupTrust(ctx context.Context) error {
	bootstrap, err := c.injected.bootstrap()
	if err != nil {
		return fmt.Errorf("what sidecars start with: %w", err)
	}
	c.trust = &trustKeeper{
		client: c.manager.GetClient(), live: c.uncached(), fallback: serving.ReplicaProxy(c.ReplicaProxy),
		roots: func() string { return string(c.ca.RootsPEM()) }, bootstrap: bootstrap, image: c.makeImage,
	}
	if c.TrustFile == "" {
		c.trust.own = agentNamespaces
	}
	rotated := make(chan event.TypedGenericEvent[client.Object])
	_, changed := c.ca.Roots()
	go followRoots(ctx, c.ca, changed, c.Log, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case rotated <- event.TypedGenericEvent[client.Object]{Object: &corev1.Namespace{}}:
		}
		return nil
	})
	ofNamespace := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: object.GetNamespace()}}}
	})
	err = builder.ControllerManagedBy(c.manager).Named("ebb-sidecar-trust").
		For(&corev1.Namespace{}, builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&servingv1.Revision{}, ofNamespace, builder.WithPredicates(predicate.AnnotationChangedPredicate{})).
		WatchesRawSource(source.Channel(rotated, handler.EnqueueRequestsFromMapFunc(c.trust.all))).
		Complete(c.trust)
	if err != nil {
		return fmt.Errorf("roots for sidecars: %w", err)
	}
	return nil
}

// Reconcile looks at one namespace.
func (k *trustKeeper) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	namespace := &corev1.Namespace{}
	if err := k.client.Get(ctx, client.ObjectKey{Name: request.Name}, namespace); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if namespace.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	var revisions servingv1.RevisionList
	if err := k.client.List(ctx, &revisions, client.InNamespace(request.Name), client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("namespace %s: list its revisions: %w", request.Name, err)
	}
	if !slices.Contains(k.own, request.Name) && !k.hasSidecars(namespace, revisions.Items) {
		return reconcile.Result{}, nil
	}
	err := k.write(ctx, request.Name)
	if k.image != nil {
		err = errors.Join(err, k.image(ctx))
	}
	return reconcile.Result{RequeueAfter: trustAgain}, err
}

func (k *trustKeeper) hasSidecars(namespace *corev1.Namespace, revisions []servingv1.Revision) bool {
	for i := range revisions {
		if workload.ChooseProxy(revisions[i].Annotations, namespace.Labels, k.fallback) == serving.SidecarProxy {
			return true
		}
	}
	return false
}

// all asks for every namespace, and for our own: the roots have changed.
func (k *trustKeeper) all(ctx context.Context, _ client.Object) []reconcile.Request {
	var namespaces corev1.NamespaceList
	if err := k.client.List(ctx, &namespaces); err != nil {
		return nil
	}
	requests := make([]reconcile.Request, len(namespaces.Items))
	for i := range namespaces.Items {
		requests[i].Name = namespaces.Items[i].Name
	}
	return requests
}

// write writes the roots and the bootstrap into a namespace, where the agents of its pods mount them from.
func (k *trustKeeper) write(ctx context.Context, namespace string) error {
	wanted := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: trustName, Labels: map[string]string{"app.kubernetes.io/managed-by": "ebb"},
		},
		Data:       map[string]string{rootsKey: k.roots()},
		BinaryData: map[string][]byte{bootstrapKey: k.bootstrap},
	}
	var have corev1.ConfigMap
	err := k.live.Get(ctx, client.ObjectKeyFromObject(wanted), &have)
	switch {
	case apierrors.IsNotFound(err):
		if err = k.live.Create(ctx, wanted); apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("write ConfigMap %s/%s: %w", namespace, trustName, err)
		}
	case err == nil && (have.Data[rootsKey] != wanted.Data[rootsKey] || !bytes.Equal(have.BinaryData[bootstrapKey], k.bootstrap)):
		have.Data, have.BinaryData = wanted.Data, wanted.BinaryData
		err = k.live.Update(ctx, &have)
	}
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", namespace, trustName, err)
	}
	return nil
}

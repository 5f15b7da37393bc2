package target

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/autoscale/scale"
	"ebb.dev/ebb/crds/autoscaling/v1alpha1"
)

// Drainer takes replicas out of service without losing a request.
type Drainer interface {
	// Sleep makes every gateway hold; false when requests wait already.
	Sleep(ctx context.Context, revision scale.Revision) (bool, error)
	// Wake undoes Sleep.
	Wake(revision scale.Revision)
	// Empty readies for having no replica and calls remove; nothing is removed when requests come meanwhile.
	Empty(ctx context.Context, revision scale.Revision, remove func(context.Context) error) error
	// Victims chooses n pods to go.
	Victims(revision scale.Revision, n int) []types.NamespacedName
	// Retire drains these pods and calls remove.
	Retire(ctx context.Context, revision scale.Revision, pods []types.NamespacedName, remove func(context.Context) error) error
	// Reinstate lets pods serve again that were drained and are not going to be deleted, since no more than wanted are left.
	Reinstate(revision scale.Revision, wanted int)
}

// Ready counts a revision's replicas that take requests, and all that exist.
type Ready func(revision scale.Revision) (ready, total int32)

// Targets scales Deployments. It is the engine's Scaler, Downscaler, Sleeper, Replicas and StatusSink.
type Targets struct {
	kube    kubernetes.Interface
	client  client.Client
	drainer Drainer
	ready   Ready
	now     func() time.Time
	log     *slog.Logger
	// Changed is told that what the engine knows of a revision is out of date.
	Changed func(scale.Revision)

	mu sync.Mutex
	// deployments maps a revision to the Deployment that its PodAutoscaler names.
	deployments map[scale.Revision]string
	// wanted is spec.replicas by Deployment: what we asked for last, or what the API said since. The engine trusts its own
	// last patch for a while, so an older event in between does no harm.
	wanted map[types.NamespacedName]int32
}

// New makes the targets.
func New(kube kubernetes.Interface, c client.Client, drainer Drainer, ready Ready, now func() time.Time, log *slog.Logger) *Targets {
	return &Targets{
		kube: kube, client: c, drainer: drainer, ready: ready, now: now, log: log, Changed: func(scale.Revision) {},
		deployments: map[scale.Revision]string{}, wanted: map[types.NamespacedName]int32{},
	}
}

// Adopt learns which Deployment a PodAutoscaler scales.
func (t *Targets) Adopt(pa *v1alpha1.PodAutoscaler) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deployments[types.NamespacedName{Namespace: pa.Namespace, Name: pa.Name}] = pa.Spec.ScaleTargetRef.Name
}

// Release forgets a PodAutoscaler.
func (t *Targets) Release(revision scale.Revision) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.deployments, revision)
}

// Deployment learns how many replicas a Deployment asks for.
func (t *Targets) Deployment(d *appsv1.Deployment) {
	key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
	n := int32(1)
	if d.Spec.Replicas != nil {
		n = *d.Spec.Replicas
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted[key] = n
}

// Gone forgets a Deployment.
func (t *Targets) Gone(d *appsv1.Deployment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.wanted, types.NamespacedName{Namespace: d.Namespace, Name: d.Name})
}

// Replicas implements scale.Replicas. What a scale-down drained and the ReplicaSet kept counts as ready again: whoever asks is told each change
// of a pod.
func (t *Targets) Replicas(revision scale.Revision) scale.Counts {
	wanted := t.Wanted(revision)
	t.drainer.Reinstate(revision, int(wanted))
	ready, total := t.ready(revision)
	return scale.Counts{Ready: ready, Total: total, Wanted: wanted}
}

// Wanted is how many replicas the revision's Deployment asks for.
func (t *Targets) Wanted(revision scale.Revision) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wanted[t.key(revision)]
}

func (t *Targets) key(revision scale.Revision) types.NamespacedName {
	return types.NamespacedName{Namespace: revision.Namespace, Name: t.deployments[revision]}
}

// SetReplicas implements scale.Scaler with one patch of the Deployment's scale.
func (t *Targets) SetReplicas(ctx context.Context, revision scale.Revision, n int32) error {
	t.mu.Lock()
	key := t.key(revision)
	t.mu.Unlock()
	if key.Name == "" {
		return fmt.Errorf("revision %s: no PodAutoscaler names its Deployment yet", revision)
	}
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n)
	err := t.kube.AppsV1().RESTClient().Patch(types.MergePatchType).Namespace(key.Namespace).Resource("deployments").
		Name(key.Name).SubResource("scale").Body(patch).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("scale Deployment %s to %d: %w", key, n, err)
	}
	t.mu.Lock()
	t.wanted[key] = n
	t.mu.Unlock()
	// As many again before the ReplicaSet deleted any: it will not.
	t.drainer.Reinstate(revision, int(n))
	return nil
}

// ScaleDown implements scale.Downscaler.
func (t *Targets) ScaleDown(ctx context.Context, revision scale.Revision, from, to int32) error {
	if to == 0 {
		return t.drainer.Empty(ctx, revision, func(ctx context.Context) error { return t.SetReplicas(ctx, revision, 0) })
	}
	victims := t.drainer.Victims(revision, int(from-to))
	return t.drainer.Retire(ctx, revision, victims, func(ctx context.Context) error {
		for _, pod := range victims {
			if err := t.goFirst(ctx, pod); err != nil {
				return err
			}
		}
		return t.SetReplicas(ctx, revision, to)
	})
}

// deletionCost makes the ReplicaSet controller choose a drained pod before any other.
const deletionCost = `{"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"-1000"}}}`

func (t *Targets) goFirst(ctx context.Context, pod types.NamespacedName) error {
	_, err := t.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(deletionCost), metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("mark pod %s to be deleted first: %w", pod, err)
	}
	return nil
}

// PrepareSleep implements scale.Sleeper.
func (t *Targets) PrepareSleep(ctx context.Context, revision scale.Revision) (bool, error) {
	return t.drainer.Sleep(ctx, revision)
}

// EndSleep implements scale.Sleeper.
func (t *Targets) EndSleep(revision scale.Revision) { t.drainer.Wake(revision) }

// WriteStatus implements scale.StatusSink.
func (t *Targets) WriteStatus(ctx context.Context, revision scale.Revision, status scale.Status) error {
	var pa v1alpha1.PodAutoscaler
	if err := t.client.Get(ctx, revision, &pa); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("read PodAutoscaler %s: %w", revision, err))
	}
	next := pa.DeepCopy()
	status.ApplyTo(&next.Status, metav1.NewTime(t.now()))
	next.Status.ObservedGeneration = pa.Generation
	next.Status.KeepTransitionTimes(&pa.Status.Status)
	if equality.Semantic.DeepEqual(&pa.Status, &next.Status) {
		return nil
	}
	// On a conflict the engine tries again, with what the cache says then.
	if err := t.client.Status().Update(ctx, next); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write the status of PodAutoscaler %s: %w", revision, err)
	}
	return nil
}

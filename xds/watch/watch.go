package watch

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/xds/build"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Watcher keeps the store true to the API.
type Watcher struct {
	store *store.Store
	log   *slog.Logger
	// Serves reports whether an ingress of this class is ours.
	Serves func(ingress *networkingv1alpha1.Ingress) bool
	// OnReplica is told each change of a pod, after the store.
	OnReplica func(revision model.Key)

	mu sync.Mutex
	// current reads what the informers have now; nil until they have all that existed, and then the store has it too.
	current client.Reader
	// pods are by revision and pod.
	pods  map[model.Key]map[model.Key]*corev1.Pod
	nodes map[string]build.Node
	known map[model.Key]known
	plain plainServices
}

type known struct {
	build.Known
	uid, node string
}

// New makes a watcher of a store.
func New(s *store.Store, log *slog.Logger) *Watcher {
	return &Watcher{
		store: s, log: log,
		Serves:    func(*networkingv1alpha1.Ingress) bool { return true },
		OnReplica: func(model.Key) {},
		pods:      map[model.Key]map[model.Key]*corev1.Pod{}, nodes: map[string]build.Node{}, known: map[model.Key]known{},
		plain: newPlainServices(),
	}
}

// Start watches through the caches and returns when the store holds all that existed. Pods and EndpointSlices of the
// caches should be limited to what is used: pods with a revision label, slices without one.
func (w *Watcher) Start(ctx context.Context, informers cache.Cache) error {
	var synced []toolscache.InformerSynced
	for _, watch := range []struct {
		object  client.Object
		handler toolscache.ResourceEventHandler
	}{
		{&corev1.Node{}, handler(w.node, w.nodeGone)},
		{&servingv1.Revision{}, handler(w.revision, w.revisionGone)},
		{&corev1.Pod{}, handler(w.pod, w.podGone)},
		{&corev1.Service{}, handler(w.service, w.serviceGone)},
		{&discoveryv1.EndpointSlice{}, handler(w.slice, w.sliceGone)},
		{&networkingv1alpha1.Ingress{}, handler(w.ingress, w.ingressGone)},
	} {
		informer, err := informers.GetInformer(ctx, watch.object)
		if err != nil {
			return fmt.Errorf("watch %T: %w", watch.object, err)
		}
		registration, err := informer.AddEventHandler(watch.handler)
		if err != nil {
			return fmt.Errorf("watch %T: %w", watch.object, err)
		}
		synced = append(synced, registration.HasSynced)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), synced...) {
		return context.Cause(ctx)
	}
	w.begin(informers)
	return nil
}

// begin places the pods that existed, the oldest first, as they once came.
func (w *Watcher) begin(current client.Reader) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = current
	var existing []*corev1.Pod
	for _, pods := range w.pods {
		existing = slices.AppendSeq(existing, maps.Values(pods))
	}
	slices.SortFunc(existing, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(keyOf(a).String(), keyOf(b).String()))
	})
	w.store.Write(func(tx *store.Tx) {
		for _, pod := range existing {
			w.place(tx, pod)
			if podReady, ok := tx.Replica(keyOf(pod)); ok && podReady.PodReady {
				// It was ready before we started, so its proxy served it: nobody is to wait until that is found out again. A proxy
				// that does not, says so when it connects.
				tx.ChangeReplica(keyOf(pod), func(r *store.Replica) { r.Programmed, r.Listening = true, true })
			}
		}
	})
}

// handler turns an informer's events into "this is how it is" and "this is gone".
func handler[T client.Object](is, gone func(T)) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { is(object.(T)) },
		UpdateFunc: func(_, object any) { is(object.(T)) },
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if typed, ok := object.(T); ok {
				gone(typed)
			}
		},
	}
}

func keyOf(object client.Object) model.Key {
	return model.Key{Namespace: object.GetNamespace(), Name: object.GetName()}
}

func (w *Watcher) revision(revision *servingv1.Revision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	spec := build.Revision(revision)
	w.store.Write(func(tx *store.Tx) {
		tx.SetRevision(spec)
		for _, pod := range w.pods[spec.Key] {
			w.place(tx, pod)
		}
	})
}

func (w *Watcher) revisionGone(revision *servingv1.Revision) {
	w.store.Write(func(tx *store.Tx) { tx.DeleteRevision(keyOf(revision)) })
}

func (w *Watcher) node(object *corev1.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	node := build.NodeOf(object)
	if w.nodes[node.Name] == node {
		return
	}
	w.nodes[node.Name] = node
	w.store.Write(func(tx *store.Tx) {
		for _, pods := range w.pods {
			for _, pod := range pods {
				if pod.Spec.NodeName == node.Name {
					w.place(tx, pod)
				}
			}
		}
	})
}

func (w *Watcher) nodeGone(object *corev1.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, object.Name)
}

func (w *Watcher) pod(pod *corev1.Pod) {
	if !build.IsReplica(pod) {
		return
	}
	revision := build.RevisionOf(pod)
	w.mu.Lock()
	if w.pods[revision] == nil {
		w.pods[revision] = map[model.Key]*corev1.Pod{}
	}
	w.pods[revision][keyOf(pod)] = pod
	w.store.Write(func(tx *store.Tx) { w.place(tx, pod) })
	w.mu.Unlock()
	w.OnReplica(revision)
}

func (w *Watcher) podGone(pod *corev1.Pod) {
	if !build.IsReplica(pod) {
		return
	}
	key, revision := keyOf(pod), build.RevisionOf(pod)
	w.mu.Lock()
	delete(w.pods[revision], key)
	if len(w.pods[revision]) == 0 {
		delete(w.pods, revision)
	}
	delete(w.known, key)
	w.store.Write(func(tx *store.Tx) { tx.DeleteReplica(key) })
	w.mu.Unlock()
	w.OnReplica(revision)
}

// place writes a pod as a replica, once all pods that existed are known. Its revision may come later; then the pod is
// looked at again. The caller holds mu.
func (w *Watcher) place(tx *store.Tx, pod *corev1.Pod) {
	key := keyOf(pod)
	if build.IsOver(pod) {
		tx.DeleteReplica(key)
		return
	}
	revision, ok := tx.Revision(build.RevisionOf(pod))
	if !ok || w.current == nil {
		return
	}
	first, node := w.known[key], pod.Spec.NodeName
	switch {
	case first.uid != string(pod.UID):
		first = known{}
	case node == "":
		node = first.node
	case first.node != node:
		first = known{}
	}
	before, _ := tx.Replica(key)
	tx.SetReplica(build.Replica(pod, revision.Revision, w.nodes[node], first.Known, tx.Taken(node), before))
}

// Reported takes what a node agent knows of a pod first. A report that is ahead of the pod's own event waits for it.
// A node speaks for pods that are bound to it, and for those that are not bound yet: the light node is its own scheduler, and a pod of its runs before
// that is written. Gateways believe it no more than the certificate that it has, and it gets that of workloads that are bound to it.
func (w *Watcher) Reported(pod model.Key, node, uid, ip string, started time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.known[pod]
	if first.uid != uid || first.node != node {
		first = known{uid: uid, node: node}
	}
	if ip != "" {
		first.IP = ip
	}
	if !started.IsZero() {
		first.Started = started
	}
	w.known[pod] = first
	replica, ok := w.store.Read().Replica(pod)
	if !ok {
		return
	}
	if object, ok := w.pods[replica.Revision.Key][pod]; ok && string(object.UID) == uid {
		w.store.Write(func(tx *store.Tx) { w.place(tx, object) })
	}
}

// Forgotten drops what a node agent reported of a pod that ended.
func (w *Watcher) Forgotten(pod model.Key, uid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[pod].uid == uid {
		delete(w.known, pod)
	}
}

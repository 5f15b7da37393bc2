package light

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"ebb.dev/ebb/deploy/local/light/volume"
)

const volumePeriod = time.Minute // how often tokens and volumes are looked at without a cause, as the kubelet

// manager turns the watch of pods into running ones. It is the watch's store: no queue lies between an event and the start.
type manager struct {
	*node

	ctx context.Context // of Run; ends all pods

	mu    sync.Mutex
	pods  map[types.UID]*pod
	freed chan struct{}       // closed and replaced when a pod has ended: what did not fit may fit now
	ports map[int32]types.UID // plain mode: who has which port of the host
	group sync.WaitGroup
}

func newManager(n *node) *manager {
	m := &manager{node: n, pods: map[types.UID]*pod{}, freed: make(chan struct{}), ports: map[int32]types.UID{}}
	n.objects.changed = m.objectChanged
	return m
}

// run watches until ctx ends, and returns when every pod's programs have ended.
func (m *manager) run(ctx context.Context) {
	m.ctx = ctx
	lw := cache.NewListWatchFromClient(m.client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.Everything())
	r := cache.NewReflectorWithOptions(lw, &corev1.Pod{}, (*podStore)(m), cache.ReflectorOptions{Name: "light"})
	go m.keepVolumes(ctx)
	r.RunWithContext(ctx)
	m.group.Wait()
}

// podStore is how the reflector hands pods over.
type podStore manager

func (s *podStore) Add(obj any) error    { return s.Update(obj) }
func (s *podStore) Resync() error        { return nil }
func (s *podStore) Update(obj any) error { (*manager)(s).seen(obj.(*corev1.Pod)); return nil }
func (s *podStore) Delete(obj any) error { (*manager)(s).gone(obj.(*corev1.Pod).UID); return nil }

// Replace is the first list, or one after the watch was lost: what is not in it is gone.
func (s *podStore) Replace(list []any, _ string) error {
	m := (*manager)(s)
	there := map[types.UID]bool{}
	for _, obj := range list {
		p := obj.(*corev1.Pod)
		there[p.UID] = true
		m.seen(p)
	}
	m.mu.Lock()
	var missing []types.UID
	for uid := range m.pods {
		if !there[uid] {
			missing = append(missing, uid)
		}
	}
	m.mu.Unlock()
	for _, uid := range missing {
		m.gone(uid)
	}
	return nil
}

// ours reports whether the pod is this node's to run: bound here, or free for whoever takes it.
func (m *manager) ours(p *corev1.Pod) bool {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName == m.Name
	}
	return p.DeletionTimestamp == nil && (p.Spec.SchedulerName == "" || p.Spec.SchedulerName == corev1.DefaultSchedulerName) && len(p.Spec.SchedulingGates) == 0
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func (m *manager) seen(obj *corev1.Pod) {
	m.mu.Lock()
	have := m.pods[obj.UID]
	if have == nil {
		if !m.ours(obj) || finished(obj) && obj.DeletionTimestamp == nil {
			m.mu.Unlock()
			return
		}
		have = newPod(m, obj)
		m.pods[obj.UID] = have
		m.group.Add(1)
		m.mu.Unlock()
		go have.run(m.ctx)
		return
	}
	m.mu.Unlock()
	have.update(obj)
}

// gone: the object is deleted; its programs end without further ado.
func (m *manager) gone(uid types.UID) {
	m.mu.Lock()
	p := m.pods[uid]
	m.mu.Unlock()
	if p != nil {
		p.abandon()
	}
}

// ended is called by a pod whose goroutine returns.
func (m *manager) ended(p *pod) {
	m.mu.Lock()
	delete(m.pods, p.uid)
	for port, uid := range m.ports {
		if uid == p.uid {
			delete(m.ports, port)
		}
	}
	close(m.freed)
	m.freed = make(chan struct{})
	m.mu.Unlock()
	m.events.forget(string(p.uid))
	m.group.Done()
}

// find returns the pod for the kubelet's API.
func (m *manager) find(namespace, name string) (*pod, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pods {
		if p.namespace == namespace && p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("pod %q not found on node %s", namespace+"/"+name, m.Name)
}

func (m *manager) all() []*pod {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*pod, 0, len(m.pods))
	for _, p := range m.pods {
		out = append(out, p)
	}
	return out
}

// objectChanged refreshes the volumes of a namespace's pods.
func (m *manager) objectChanged(namespace string) {
	for _, p := range m.all() {
		if p.namespace == namespace {
			p.wakeVolumes()
		}
	}
}

func (m *manager) keepVolumes(ctx context.Context) {
	t := time.NewTicker(volumePeriod)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			for _, p := range m.all() {
				p.wakeVolumes()
			}
		}
	}
}

// hasAPIVolumes reports whether anything of the pod follows API objects.
func hasAPIVolumes(p *corev1.Pod) bool {
	for i := range p.Spec.Volumes {
		if volume.FromAPI(&p.Spec.Volumes[i]) {
			return true
		}
	}
	return false
}

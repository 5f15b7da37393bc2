package light

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/deploy/local/light/podenv"
	"ebb.dev/ebb/deploy/local/light/sandbox"
)

const defaultGrace = 30 * time.Second

// pod is one pod of this node, from the moment it is seen until its programs have ended.
type pod struct {
	m               *manager
	uid             types.UID
	namespace, name string
	// dir lies on disk, inMemory does not: names, and volumes whose content comes from the API.
	dir, inMemory string
	created       time.Time // when this node first saw it

	// Of the manager, under its lock: what was counted for it.
	admitted    bool
	cpu, memory resource.Quantity

	ctx      context.Context // ends when the pod's programs must go
	cancel   context.CancelFunc
	deleted  chan struct{} // closed when deletion is asked for
	vanished bool          // the object is gone or not ours: nothing is to be written
	onceDel  sync.Once

	network *sandbox.Network
	ip      string
	volumes map[string]string // name → path
	status  *statusWriter

	mu         sync.Mutex
	obj        *corev1.Pod
	containers []*container // init containers first
	scheduled  *corev1.PodCondition
	started    bool // OnStart was called
	reason     string
	message    string
	phase      corev1.PodPhase // set when it is final
	tokens     map[string]token
	volumeWake chan struct{}
}

func newPod(m *manager, obj *corev1.Pod) *pod {
	p := &pod{
		m: m, uid: obj.UID, namespace: obj.Namespace, name: obj.Name,
		dir: filepath.Join(m.Dir, "pods", string(obj.UID)), inMemory: filepath.Join(m.Dir, "memory", string(obj.UID)),
		created: time.Now(), obj: obj, deleted: make(chan struct{}), volumes: map[string]string{}, tokens: map[string]token{}, volumeWake: make(chan struct{}, 1),
	}
	for i := range obj.Spec.InitContainers {
		p.containers = append(p.containers, newContainer(p, &obj.Spec.InitContainers[i], true))
	}
	for i := range obj.Spec.Containers {
		p.containers = append(p.containers, newContainer(p, &obj.Spec.Containers[i], false))
	}
	p.status = newStatusWriter(p)
	if obj.DeletionTimestamp != nil {
		p.onceDel.Do(func() { close(p.deleted) })
	}
	return p
}

func (p *pod) key() string { return p.namespace + "/" + p.name }

func (p *pod) object() *corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.obj
}

// update takes a newer version of the object.
func (p *pod) update(obj *corev1.Pod) {
	p.mu.Lock()
	labels := p.obj
	p.obj = obj
	elsewhere := obj.Spec.NodeName != "" && obj.Spec.NodeName != p.m.Name
	p.mu.Unlock()
	if elsewhere {
		p.abandon()
		return
	}
	if obj.DeletionTimestamp != nil {
		p.onceDel.Do(func() { close(p.deleted) })
	}
	if labels.ResourceVersion != obj.ResourceVersion && hasAPIVolumes(obj) && !sameMeta(labels, obj) {
		p.wakeVolumes()
	}
}

func sameMeta(a, b *corev1.Pod) bool {
	return mapsEqual(a.Labels, b.Labels) && mapsEqual(a.Annotations, b.Annotations)
}

// abandon ends the pod without telling the API: the object is gone, or another node has it.
func (p *pod) abandon() {
	p.mu.Lock()
	p.vanished = true
	p.mu.Unlock()
	p.onceDel.Do(func() { close(p.deleted) })
}

func (p *pod) isVanished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.vanished
}

// run is the pod's life.
func (p *pod) run(parent context.Context) {
	defer p.m.ended(p)
	// Programs get their grace also when the node stops, so their context is not the node's.
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(parent))
	defer p.cancel()
	if p.admit(parent) {
		go p.bind()
		if err := p.prepare(parent); err == nil {
			go p.keepVolumes()
			p.runContainers(parent)
		}
	}
	p.finish(parent)
}

// stopping reports whether the pod is to end.
func (p *pod) stopping(parent context.Context) bool {
	select {
	case <-p.deleted:
		return true
	case <-parent.Done():
		return true
	default:
		return false
	}
}

// admit waits until the node can take the pod.
func (p *pod) admit(parent context.Context) bool {
	for {
		if p.stopping(parent) {
			return false
		}
		p.m.mu.Lock()
		freed := p.m.freed
		p.m.mu.Unlock()
		why := p.m.refuse(p.object())
		if why == "" {
			p.setScheduled(corev1.ConditionTrue, "", "")
			return true
		}
		if p.setScheduled(corev1.ConditionFalse, corev1.PodReasonUnschedulable, why) {
			p.m.events.add(p.object(), "", corev1.EventTypeWarning, "FailedScheduling", "%s", why)
			p.status.kick()
		}
		select {
		case <-freed:
		case <-p.deleted:
		case <-parent.Done():
		}
	}
}

func (p *pod) setScheduled(s corev1.ConditionStatus, reason, message string) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.scheduled; c != nil && c.Status == s && c.Message == message {
		return false
	}
	p.scheduled = &corev1.PodCondition{Type: corev1.PodScheduled, Status: s, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}
	return true
}

// bind tells the API server that the pod is ours, while it starts. If it is not to be, its programs end again.
func (p *pod) bind() {
	if p.object().Spec.NodeName != "" {
		return
	}
	err := p.m.client.CoreV1().Pods(p.namespace).Bind(p.ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: p.name, UID: p.uid},
		Target:     corev1.ObjectReference{Kind: "Node", Name: p.m.Name},
	}, metav1.CreateOptions{})
	switch {
	case err == nil:
		p.m.events.add(p.object(), "", corev1.EventTypeNormal, "Scheduled", "Successfully assigned %s to %s", p.key(), p.m.Name)
	case p.ctx.Err() != nil:
	default:
		// Taken by another node, deleted meanwhile, or the API server is away: the watch says which, and brings the pod again if it is still free.
		p.m.Log.Warn("pod not bound", "pod", p.key(), "err", err)
		p.abandon()
	}
}

// prepare makes what all containers share, retrying until it is there.
func (p *pod) prepare(parent context.Context) error {
	for wait := 500 * time.Millisecond; ; wait = min(2*wait, time.Minute) {
		err := p.prepareOnce()
		if err == nil {
			return nil
		}
		p.m.events.add(p.object(), "", corev1.EventTypeWarning, "FailedMount", "%s", err)
		p.m.Log.Warn("pod not prepared", "pod", p.key(), "err", err)
		p.status.kick()
		select {
		case <-time.After(wait):
		case <-p.volumeWake: // an object it refers to has come
		case <-p.deleted:
			return err
		case <-parent.Done():
			return err
		}
	}
}

func (p *pod) prepareOnce() error {
	obj := p.object()
	if p.ip == "" {
		if obj.Spec.HostNetwork {
			p.ip = p.m.nodeIP.String()
		} else {
			n, err := p.m.host.Network()
			if err != nil {
				return err
			}
			p.network, p.ip = n, p.m.nodeIP.String()
			if n != nil {
				p.ip = n.IP.String()
			}
		}
		if p.m.OnAddress != nil {
			p.m.OnAddress(p.addressed(obj))
		}
	}
	for _, d := range []string{p.inMemory, filepath.Join(p.dir, "containers")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := p.writeNames(obj); err != nil {
		return err
	}
	return p.prepareVolumes(obj)
}

func (p *pod) facts() podenv.Facts {
	return podenv.Facts{NodeName: p.m.Name, HostIP: p.m.nodeIP.String(), PodIP: p.ip, Allocatable: p.m.capacity()}
}

// runContainers starts init containers one after the other, then the others together, and waits until all have ended or the pod is to end.
func (p *pod) runContainers(parent context.Context) {
	var main []*container
	for _, c := range p.containers {
		if !c.init {
			main = append(main, c)
			continue
		}
		go c.run()
		ready := c.ended
		if c.sidecar {
			ready = c.startedUp
		}
		select {
		case <-ready:
		case <-p.deleted:
			return
		case <-parent.Done():
			return
		}
		if !c.sidecar && !c.succeeded() {
			p.setPhase(corev1.PodFailed)
			return
		}
	}
	for _, c := range main {
		go c.run()
	}
	var timeout <-chan time.Time
	if s := p.object().Spec.ActiveDeadlineSeconds; s != nil {
		timeout = time.After(time.Duration(*s) * time.Second)
	}
	for _, c := range main {
		select {
		case <-c.ended:
		case <-p.deleted:
			return
		case <-parent.Done():
			return
		case <-timeout:
			p.mu.Lock()
			p.phase, p.reason, p.message = corev1.PodFailed, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
			p.mu.Unlock()
			return
		}
	}
	phase := corev1.PodSucceeded
	for _, c := range main {
		if !c.succeeded() {
			phase = corev1.PodFailed
		}
	}
	p.setPhase(phase)
}

func (p *pod) setPhase(ph corev1.PodPhase) {
	p.mu.Lock()
	p.phase = ph
	p.mu.Unlock()
}

// firstStart tells the control plane of the pod's first program.
func (p *pod) firstStart() {
	p.mu.Lock()
	first := !p.started
	p.started = true
	obj := p.obj
	p.mu.Unlock()
	if first && p.m.OnStart != nil {
		p.m.OnStart(PodStarted{PodAddressed: p.addressed(obj), Seen: p.created, At: time.Now()})
	}
}

func (p *pod) addressed(obj *corev1.Pod) PodAddressed {
	return PodAddressed{UID: string(p.uid), Namespace: p.namespace, Name: p.name, IP: p.ip, Labels: obj.Labels}
}

func (p *pod) grace() time.Duration {
	obj := p.object()
	if obj.DeletionGracePeriodSeconds != nil {
		return time.Duration(*obj.DeletionGracePeriodSeconds) * time.Second
	}
	if obj.Spec.TerminationGracePeriodSeconds != nil {
		return time.Duration(*obj.Spec.TerminationGracePeriodSeconds) * time.Second
	}
	return defaultGrace
}

// finish ends the programs, says so, and removes what the pod had.
func (p *pod) finish(parent context.Context) {
	grace := p.grace()
	if p.isVanished() {
		grace = 0
	}
	if parent.Err() != nil {
		grace = min(grace, nodeStopGrace)
	}
	p.terminate(grace)
	p.cancel()
	for _, c := range p.containers {
		c.wait()
	}
	p.mu.Lock()
	started, final := p.started, p.phase != ""
	p.mu.Unlock()
	if started && p.m.OnStop != nil {
		p.m.OnStop(PodStopped{UID: string(p.uid), Namespace: p.namespace, Name: p.name, IP: p.ip, At: time.Now()})
	}
	p.giveBack()
	// A node that stops leaves the pod to its next run, unless it was finished or is to be deleted.
	deleting := p.object().DeletionTimestamp != nil
	if p.isVanished() || parent.Err() != nil && !deleting && !final {
		p.status.stop()
		p.remove()
		return
	}
	p.status.flush()
	if final && !deleting && parent.Err() == nil {
		select { // its logs stay until it is deleted
		case <-p.deleted:
		case <-parent.Done():
			p.remove()
			return
		}
		deleting = true
	}
	if deleting && !p.isVanished() {
		p.deleteObject()
	}
	p.remove()
}

// nodeStopGrace bounds how long a stop of the node waits for programs.
const nodeStopGrace = 5 * time.Second

func (p *pod) giveBack() {
	if p.network == nil {
		return
	}
	clean := true
	for _, c := range p.containers {
		clean = clean && !c.canChangeNetwork()
	}
	p.m.host.ReturnNetwork(p.network, clean)
	p.network = nil
}

// deleteObject removes the pod from the API, as the last act of every node.
func (p *pod) deleteObject() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), tokenCallTimeout)
	defer cancel()
	zero := int64(0)
	err := p.m.client.CoreV1().Pods(p.namespace).Delete(ctx, p.name, metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &p.uid}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		p.m.Log.Warn("pod not deleted", "pod", p.key(), "err", err)
	}
}

func (p *pod) remove() {
	if err := errors.Join(os.RemoveAll(p.dir), os.RemoveAll(p.inMemory), os.RemoveAll(p.logDir())); err != nil {
		p.m.Log.Warn("remains of a pod not removed", "pod", p.key(), "err", err)
	}
}

// logDir is laid out as the kubelet's.
func (p *pod) logDir() string {
	return filepath.Join(p.m.Dir, "logs", p.namespace+"_"+p.name+"_"+string(p.uid))
}

package light

import (
	"cmp"
	"context"
	"encoding/json"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// snapshot is the pod's status now, as a kubelet words it.
func (p *pod) snapshot() corev1.PodStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.obj.Status
	s := corev1.PodStatus{
		Reason: p.reason, Message: p.message, StartTime: old.StartTime, QOSClass: old.QOSClass, ObservedGeneration: p.obj.Generation,
	}
	if p.scheduled != nil && p.scheduled.Status == corev1.ConditionTrue {
		s.HostIP, s.HostIPs = p.m.nodeIP.String(), []corev1.HostIP{{IP: p.m.nodeIP.String()}}
		if s.StartTime == nil {
			t := metav1.NewTime(p.created)
			s.StartTime = &t
		}
	}
	if p.ip != "" {
		s.PodIP, s.PodIPs = p.ip, []corev1.PodIP{{IP: p.ip}}
	}
	for _, c := range p.containers {
		if c.init {
			s.InitContainerStatuses = append(s.InitContainerStatuses, c.status())
		} else {
			s.ContainerStatuses = append(s.ContainerStatuses, c.status())
		}
	}
	s.Phase = cmp.Or(p.phase, phase(s))
	s.Conditions = conditions(p.obj, s, p.scheduled)
	return s
}

// status needs the pod's lock.
func (c *container) status() corev1.ContainerStatus {
	started := c.started
	s := corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, ImageID: c.imageID, State: c.state, LastTerminationState: c.last, Ready: c.ready,
		RestartCount: max(c.restarts, 0), Started: &started,
	}
	if c.init && !c.sidecar {
		s.Ready = c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
	}
	if c.imageID != "" && (c.state.Running != nil || c.state.Terminated != nil) {
		s.ContainerID = "ebb-light://" + string(c.pod.uid) + "-" + c.spec.Name + "-" + itoa(max(c.restarts, 0))
	}
	return s
}

// phase is the kubelet's rule while the pod is not at its end: Pending until init is through and every container has run.
func phase(s corev1.PodStatus) corev1.PodPhase {
	for _, c := range s.ContainerStatuses {
		if c.State.Waiting != nil && c.LastTerminationState.Terminated == nil && c.RestartCount == 0 {
			return corev1.PodPending
		}
	}
	return corev1.PodRunning
}

// conditions are the five that kubelets write, beside those that others wrote.
func conditions(obj *corev1.Pod, s corev1.PodStatus, scheduled *corev1.PodCondition) []corev1.PodCondition {
	initialized, started := true, s.PodIP != ""
	for i, c := range s.InitContainerStatuses {
		if sidecar(&obj.Spec.InitContainers[i]) {
			initialized = initialized && c.Started != nil && *c.Started || s.Phase == corev1.PodSucceeded
		} else {
			initialized = initialized && c.Ready
		}
	}
	var unready []string
	for _, c := range s.ContainerStatuses {
		if !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	done := s.Phase == corev1.PodSucceeded
	ready := len(unready) == 0
	reason, message := "", ""
	switch {
	case done:
		reason = "PodCompleted"
	case s.Phase == corev1.PodFailed:
		reason, ready = "PodFailed", false
	case !ready:
		reason, message = "ContainersNotReady", "containers with unready status: "+list(unready)
	}
	podReady, podReason, podMessage := ready && !done, reason, message
	for _, g := range obj.Spec.ReadinessGates {
		if podReady && !isTrue(obj.Status.Conditions, g.ConditionType) {
			podReady, podReason = false, "ReadinessGatesNotReady"
			podMessage = `the status of pod readiness gate "` + string(g.ConditionType) + `" is not "True", but ` + string(statusOf(obj.Status.Conditions, g.ConditionType))
		}
	}
	initReason := ""
	if !initialized {
		initReason = "ContainersNotInitialized"
	} else if done {
		initReason = "PodCompleted"
	}
	fresh := []corev1.PodCondition{
		condition(corev1.PodReadyToStartContainers, started && s.Phase != corev1.PodSucceeded && s.Phase != corev1.PodFailed, "", ""),
		condition(corev1.PodInitialized, initialized, initReason, ""),
		condition(corev1.PodReady, podReady, podReason, podMessage),
		condition(corev1.ContainersReady, ready && !done, reason, message),
	}
	if scheduled != nil {
		fresh = append(fresh, *scheduled)
	}
	return mergeConditions(obj.Status.Conditions, fresh, obj.Generation)
}

func list(names []string) string {
	b, _ := json.Marshal(names) // strings always marshal
	out := make([]byte, 0, len(b))
	for _, c := range b {
		switch c {
		case '"':
		case ',':
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func condition(t corev1.PodConditionType, ok bool, reason, message string) corev1.PodCondition {
	c := corev1.PodCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message}
	if ok {
		c.Status = corev1.ConditionTrue
	}
	return c
}

func isTrue(conditions []corev1.PodCondition, t corev1.PodConditionType) bool {
	return statusOf(conditions, t) == corev1.ConditionTrue
}

func statusOf(conditions []corev1.PodCondition, t corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range conditions {
		if c.Type == t {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// mergeConditions keeps others' conditions, and the time of ours that did not change.
func mergeConditions(old, fresh []corev1.PodCondition, generation int64) []corev1.PodCondition {
	out := make([]corev1.PodCondition, 0, len(old)+len(fresh))
	ours := map[corev1.PodConditionType]bool{}
	for _, c := range fresh {
		ours[c.Type] = true
		c.ObservedGeneration = generation
		if c.LastTransitionTime.IsZero() {
			c.LastTransitionTime = metav1.Now()
		}
		for _, o := range old {
			if o.Type == c.Type && o.Status == c.Status {
				c.LastTransitionTime = o.LastTransitionTime
			}
		}
		out = append(out, c)
	}
	for _, o := range old {
		if !ours[o.Type] {
			out = append(out, o)
		}
	}
	return out
}

// statusWriter writes a pod's status when it has changed: one write at a time, and what changes meanwhile goes into the next.
type statusWriter struct {
	pod *pod

	mu      sync.Mutex
	dirty   bool
	writing bool
	stopped bool
	idle    *sync.Cond
	written *corev1.PodStatus
}

func newStatusWriter(p *pod) *statusWriter {
	w := &statusWriter{pod: p}
	w.idle = sync.NewCond(&w.mu)
	return w
}

// kick says that something may have changed. While containers are being started for the first time nothing is written: their start is one write.
func (w *statusWriter) kick() {
	if w.pod.starting() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty = true
	if w.writing || w.stopped {
		return
	}
	w.writing = true
	go w.write()
}

// starting reports whether a main container is on its way to its first start, with nothing in its way that a person should see.
func (p *pod) starting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase != "" || len(p.obj.Spec.InitContainers) > 0 || p.scheduled == nil || p.scheduled.Status != corev1.ConditionTrue {
		return false
	}
	waiting, running := 0, 0
	for _, c := range p.containers {
		switch {
		case c.state.Waiting != nil && c.began && c.restarts == 0 && (c.state.Waiting.Reason == "ContainerCreating"):
			waiting++
		case c.state.Running != nil:
			running++
		}
	}
	return waiting > 0 && running > 0
}

const (
	statusTimeout = 10 * time.Second
	statusRetry   = 200 * time.Millisecond
)

func (w *statusWriter) write() {
	wait := statusRetry
	for {
		w.mu.Lock()
		if !w.dirty || w.stopped {
			w.writing = false
			w.idle.Broadcast()
			w.mu.Unlock()
			return
		}
		w.dirty = false
		w.mu.Unlock()
		err := w.patch()
		switch {
		case err == nil:
			wait = statusRetry
		case apierrors.IsNotFound(err), apierrors.IsConflict(err), w.pod.isVanished():
			w.stop() // another object, or none
		default:
			w.pod.m.Log.Warn("pod status not written", "pod", w.pod.key(), "err", err)
			w.mu.Lock()
			w.dirty = true
			w.mu.Unlock()
			select {
			case <-time.After(wait):
				wait = min(2*wait, statusTimeout)
			case <-w.pod.ctx.Done():
				w.stop()
			}
		}
	}
}

func (w *statusWriter) patch() error {
	p := w.pod
	s := p.snapshot()
	if w.written != nil && sameStatus(*w.written, s) {
		return nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.uid}, "status": s})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	_, err = p.m.client.CoreV1().Pods(p.namespace).Patch(ctx, p.name, types.MergePatchType, body, metav1.PatchOptions{}, "status")
	if err == nil {
		w.written = &s
	}
	return err
}

// sameStatus compares all but the moments at which conditions changed.
func sameStatus(a, b corev1.PodStatus) bool {
	a, b = *a.DeepCopy(), *b.DeepCopy()
	for _, s := range []*corev1.PodStatus{&a, &b} {
		for i := range s.Conditions {
			s.Conditions[i].LastTransitionTime = metav1.Time{}
		}
	}
	return equality.Semantic.DeepEqual(a, b)
}

// flush writes what has changed and waits for it.
func (w *statusWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	w.dirty = true
	if !w.writing {
		w.writing = true
		go w.write()
	}
	for w.writing {
		w.idle.Wait()
	}
}

// stop ends the writing; nothing further is written.
func (w *statusWriter) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

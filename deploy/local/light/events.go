package light

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// normalDelay keeps good news out of the way: a burst of starts needs the API server for itself. The event carries its true time.
const normalDelay = 1500 * time.Millisecond

const maxPendingEvents = 4096

// eventWriter writes events one at a time, in the background, and counts repetitions up instead of writing them anew.
type eventWriter struct {
	client kubernetes.Interface
	node   string
	log    *slog.Logger

	mu      sync.Mutex
	pending []pendingEvent
	wake    chan struct{}
	known   map[eventKey]*corev1.Event // last written, by what it says
}

type eventKey struct{ uid, field, reason, message string }

type pendingEvent struct {
	event *corev1.Event
	due   time.Time
}

func newEventWriter(client kubernetes.Interface, node string, log *slog.Logger) *eventWriter {
	return &eventWriter{client: client, node: node, log: log, wake: make(chan struct{}, 1), known: map[eventKey]*corev1.Event{}}
}

// add notes an event of a pod; container may be empty.
func (w *eventWriter) add(pod *corev1.Pod, container, kind, reason, format string, args ...any) {
	now := time.Now()
	ref := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}
	if container != "" {
		ref.FieldPath = "spec.containers{" + container + "}"
	}
	component := "kubelet"
	if reason == "Scheduled" || reason == "FailedScheduling" {
		component = corev1.DefaultSchedulerName
	}
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: pod.Namespace, Name: fmt.Sprintf("%s.%x", pod.Name, now.UnixNano())},
		InvolvedObject: ref, Type: kind, Reason: reason, Message: fmt.Sprintf(format, args...),
		Source: corev1.EventSource{Component: component, Host: w.node}, ReportingController: component, ReportingInstance: w.node,
		FirstTimestamp: metav1.NewTime(now), LastTimestamp: metav1.NewTime(now), Count: 1,
	}
	due := now
	if kind == corev1.EventTypeNormal {
		due = now.Add(normalDelay)
	}
	w.mu.Lock()
	if len(w.pending) < maxPendingEvents {
		w.pending = append(w.pending, pendingEvent{e, due})
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// forget drops what is remembered of a pod that is gone.
func (w *eventWriter) forget(uid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := range w.known {
		if k.uid == uid {
			delete(w.known, k)
		}
	}
}

func (w *eventWriter) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		for {
			e, wait := w.next()
			if e == nil {
				timer.Reset(wait)
				break
			}
			if err := w.write(ctx, e); err != nil && ctx.Err() == nil {
				w.log.Debug("event not written", "reason", e.Reason, "pod", e.InvolvedObject.Namespace+"/"+e.InvolvedObject.Name, "err", err)
			}
		}
	}
}

// next takes an event that is due, or says how long until one is.
func (w *eventWriter) next() (*corev1.Event, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait := time.Hour
	for i, p := range w.pending {
		left := time.Until(p.due)
		if left <= 0 {
			w.pending = append(w.pending[:i], w.pending[i+1:]...)
			return p.event, 0
		}
		wait = min(wait, left)
	}
	return nil, wait
}

func (w *eventWriter) write(ctx context.Context, e *corev1.Event) error {
	key := eventKey{string(e.InvolvedObject.UID), e.InvolvedObject.FieldPath, e.Reason, e.Message}
	events := w.client.CoreV1().Events(e.Namespace)
	w.mu.Lock()
	old := w.known[key]
	w.mu.Unlock()
	var got *corev1.Event
	var err error
	if old != nil {
		again := old.DeepCopy()
		again.Count++
		again.LastTimestamp = e.LastTimestamp
		got, err = events.Update(ctx, again, metav1.UpdateOptions{})
	}
	if old == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		got, err = events.Create(ctx, e, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.known[key] = got
	w.mu.Unlock()
	return nil
}

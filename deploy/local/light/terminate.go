package light

import (
	"context"
	"maps"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// terminate ends the pod's programs within the grace period: drain, then preStop and TERM for all main containers at once, then the sidecars,
// last started first, then KILL for what is left.
func (p *pod) terminate(grace time.Duration) {
	p.mu.Lock()
	for _, c := range p.containers {
		c.stopping = true
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), max(grace, time.Millisecond))
	defer cancel()
	if p.m.Drain != nil && p.started && grace > 0 && p.anyRunning() {
		if err := p.m.Drain(ctx, p.object()); err != nil {
			p.m.Log.Warn("pod not drained", "pod", p.key(), "err", err)
		}
	}
	var main sync.WaitGroup
	for _, c := range p.containers {
		if !c.sidecar {
			main.Go(func() { c.stop(ctx) })
		}
	}
	main.Wait()
	for i := len(p.containers) - 1; i >= 0; i-- {
		if c := p.containers[i]; c.sidecar {
			c.stop(ctx)
		}
	}
}

func (p *pod) anyRunning() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.containers {
		if c.process != nil {
			return true
		}
	}
	return false
}

// stop ends the container's program: preStop, TERM, and KILL when ctx ends.
func (c *container) stop(ctx context.Context) {
	c.cancelRestart()
	p := c.pod
	p.mu.Lock()
	process := c.process
	p.mu.Unlock()
	if process == nil {
		return
	}
	p.m.events.add(p.object(), c.name(), corev1.EventTypeNormal, "Killing", "Stopping container %s", c.name())
	if h := c.spec.Lifecycle; h != nil && h.PreStop != nil {
		if err := c.hook(ctx, h.PreStop); err != nil && ctx.Err() == nil {
			p.m.events.add(p.object(), c.name(), corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
			p.m.Log.Warn("preStop hook failed", "pod", p.key(), "container", c.name(), "err", err)
		}
	}
	if err := process.Signal(c.stopSignal()); err != nil {
		p.m.Log.Warn("program not signalled", "pod", p.key(), "container", c.name(), "err", err)
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		_ = process.Signal(syscall.SIGKILL) // has ended at worst
		<-process.Done()
	}
}

func mapsEqual(a, b map[string]string) bool { return maps.Equal(a, b) }

package light

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/local/light/podlog"
	"ebb.dev/ebb/deploy/local/light/sandbox"
)

const (
	firstBackOff = 10 * time.Second
	maxBackOff   = 5 * time.Minute
	backOffReset = 10 * time.Minute // a run this long starts the back-off anew
	startErrCode = 128              // as containerd reports a program that could not be executed
)

// container is one container of a pod, through all its runs. Its fields below mu's line are under the pod's lock.
type container struct {
	pod     *pod
	spec    *corev1.Container
	init    bool
	sidecar bool

	stopRestart context.CancelFunc // no further run begins
	restart     context.Context
	ended       chan struct{} // no further run will come
	startedUp   chan struct{} // running and past its startup probe, the first time
	onceUp      sync.Once
	began       bool

	stopping bool
	process  *sandbox.Process
	live     *podlog.Log
	tee      *broadcast // output for kubectl attach
	stdin    *os.File
	state    corev1.ContainerState
	last     corev1.ContainerState
	restarts int32
	ready    bool
	started  bool
	imageID  string
	signal   string // the image's stop signal
	env      []string
	user     sandbox.User
	workDir  string
	killWhy  string // why the node itself ended this run
}

func newContainer(p *pod, spec *corev1.Container, init bool) *container {
	c := &container{
		pod: p, spec: spec, init: init, sidecar: init && sidecar(spec), ended: make(chan struct{}), startedUp: make(chan struct{}),
		state: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
	}
	if len(p.obj.Spec.InitContainers) > 0 {
		c.state.Waiting.Reason = "PodInitializing"
	}
	c.restart, c.stopRestart = context.WithCancel(context.Background())
	return c
}

func (c *container) name() string   { return c.spec.Name }
func (c *container) cancelRestart() { c.stopRestart() }

// wait returns when no run is under way or will come.
func (c *container) wait() {
	c.cancelRestart()
	c.pod.mu.Lock()
	began := c.began
	c.pod.mu.Unlock()
	if began {
		<-c.ended
	}
}

// succeeded reports whether the last run ended with 0.
func (c *container) succeeded() bool {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	return c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
}

// policy says whether a run that ended so is followed by another.
func (c *container) again(exit int) bool {
	if c.sidecar {
		return true
	}
	switch policy := c.pod.object().Spec.RestartPolicy; {
	case policy == corev1.RestartPolicyNever:
		return false
	case policy == corev1.RestartPolicyOnFailure || c.init:
		return exit != 0
	}
	return true
}

// run is the container's life: a run of its program after the other, with back-off between them.
func (c *container) run() {
	c.pod.mu.Lock()
	if c.stopping {
		c.pod.mu.Unlock()
		return
	}
	c.began = true
	c.pod.mu.Unlock()
	defer c.pod.status.kick()
	defer close(c.ended)
	backOff := firstBackOff
	for {
		rootfs, err := c.image()
		if err != nil {
			return
		}
		began := time.Now()
		exit, again := c.once(rootfs)
		rootfs.Release()
		if !again || !c.again(exit) || c.restart.Err() != nil {
			return
		}
		if time.Since(began) > backOffReset {
			backOff = firstBackOff
		}
		if !c.backOff(&backOff) {
			return
		}
	}
}

// backOff waits between runs; the first restart comes at once, as the kubelet's.
func (c *container) backOff(wait *time.Duration) bool {
	p := c.pod
	p.mu.Lock()
	first := c.restarts == 0
	p.mu.Unlock()
	if !first {
		p.m.events.add(p.object(), c.name(), corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s in pod %s_%s(%s)", c.name(), p.name, p.namespace, p.uid)
		c.waiting("CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", *wait, c.name(), p.name, p.namespace, p.uid))
		if !c.sleep(*wait) {
			return false
		}
		*wait = min(2**wait, maxBackOff)
	}
	p.mu.Lock()
	c.restarts++
	p.mu.Unlock()
	return true
}

// sleep returns false if the container is to end instead.
func (c *container) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.restart.Done():
		return false
	}
}

// waiting sets the state; a run that has ended becomes the last state.
func (c *container) waiting(reason, message string) {
	c.pod.mu.Lock()
	if c.state.Terminated != nil {
		c.last = corev1.ContainerState{Terminated: c.state.Terminated}
	}
	c.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	c.ready, c.started = false, false
	c.pod.mu.Unlock()
	c.pod.status.kick()
}

// image brings the image's files, waiting and trying again as the kubelet does.
func (c *container) image() (*image.Rootfs, error) {
	p := c.pod
	for wait := firstBackOff; ; wait = min(2*wait, maxBackOff) {
		rootfs, err := c.pull()
		if err == nil {
			return rootfs, nil
		}
		reason := "ErrImagePull"
		var named *waitError
		if errors.As(err, &named) {
			reason = named.reason
		}
		p.m.events.add(p.object(), c.name(), corev1.EventTypeWarning, "Failed", "Failed to pull image %q: %s", c.spec.Image, err)
		p.m.events.add(p.object(), c.name(), corev1.EventTypeWarning, "Failed", "Error: %s", reason)
		c.waiting(reason, err.Error())
		if !c.sleep(min(wait/10, time.Second)) {
			return nil, err
		}
		if reason == "ErrImagePull" {
			p.m.events.add(p.object(), c.name(), corev1.EventTypeNormal, "BackOff", "Back-off pulling image %q", c.spec.Image)
			c.waiting("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", c.spec.Image, err))
		}
		if !c.sleep(wait) {
			return nil, err
		}
	}
}

// waitError is an error with the reason that the container waits for.
type waitError struct {
	reason string
	err    error
}

func (e *waitError) Error() string { return e.err.Error() }
func (e *waitError) Unwrap() error { return e.err }

func (c *container) pull() (*image.Rootfs, error) {
	p := c.pod
	ref, err := image.ParseRef(c.spec.Image)
	if err != nil {
		return nil, &waitError{"InvalidImageName", fmt.Errorf("Failed to apply default image tag %q: couldn't parse image name: %w", c.spec.Image, err)}
	}
	digest, err := p.m.Images.Store.Lookup(ref)
	missing := errors.Is(err, image.ErrNotFound)
	switch {
	case missing && c.spec.ImagePullPolicy == corev1.PullNever:
		return nil, &waitError{"ErrImageNeverPull", fmt.Errorf("Container image %q is not present with pull policy of Never", c.spec.Image)}
	case missing || c.spec.ImagePullPolicy == corev1.PullAlways:
		keychain, err := image.NewKeychain(p.m.objects.pullSecrets(p.object())...)
		if err != nil {
			return nil, err
		}
		if missing {
			p.m.events.add(p.object(), c.name(), corev1.EventTypeNormal, "Pulling", "Pulling image %q", c.spec.Image)
		}
		resolved, err := p.m.Images.Pull(p.ctx, c.spec.Image, keychain, c.spec.ImagePullPolicy == corev1.PullAlways)
		if err != nil {
			return nil, err
		}
		digest = resolved.Digest
	case err != nil:
		return nil, err
	}
	rootfs, err := p.m.Images.Store.Unpack(p.ctx, digest)
	if err != nil {
		return nil, err
	}
	if !missing {
		p.m.events.add(p.object(), c.name(), corev1.EventTypeNormal, "Pulled", "Container image %q already present on machine", c.spec.Image)
	} else {
		p.m.events.add(p.object(), c.name(), corev1.EventTypeNormal, "Pulled", "Successfully pulled image %q", c.spec.Image)
	}
	p.mu.Lock()
	c.imageID, c.signal = ref.Name()+"@"+digest.String(), rootfs.Config.Config.StopSignal
	p.mu.Unlock()
	return rootfs, nil
}

// once runs the program one time and returns its exit code; again is false if it cannot be run at all.
func (c *container) once(rootfs *image.Rootfs) (exit int, again bool) {
	p := c.pod
	r, err := c.start(rootfs)
	if err != nil {
		return c.startFailed(err)
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	p.firstStart()
	now := metav1.NewTime(r.process.Started)
	p.mu.Lock()
	if c.state.Terminated != nil {
		c.last = corev1.ContainerState{Terminated: c.state.Terminated}
	}
	c.process, c.live, c.killWhy = r.process, r.log, ""
	c.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	stopping := c.stopping
	c.started = c.spec.StartupProbe == nil
	c.ready = c.started && c.spec.ReadinessProbe == nil
	p.mu.Unlock()
	if stopping { // the stop came while it was being started, and did not see it
		_ = r.process.Signal(syscall.SIGKILL)
	}
	p.m.events.add(p.object(), c.name(), corev1.EventTypeNormal, "Created", "Container created")
	p.m.events.add(p.object(), c.name(), corev1.EventTypeNormal, "Started", "Container started")
	go c.accompany(ctx, r.process)
	p.status.kick()
	<-r.process.Done()
	cancel()
	r.finish()
	e := r.process.Exit()
	c.terminated(corev1.ContainerStateTerminated{
		ExitCode: int32(e.Code), Reason: exitReason(e), StartedAt: now, FinishedAt: metav1.NewTime(e.At),
		Message: c.terminationMessage(e.Code, r.log.Path()), ContainerID: c.id(),
	})
	return e.Code, true
}

func exitReason(e sandbox.Exit) string {
	switch {
	case e.OOMKilled:
		return "OOMKilled"
	case e.Code == 0:
		return "Completed"
	}
	return "Error"
}

func (c *container) terminated(t corev1.ContainerStateTerminated) {
	c.pod.mu.Lock()
	c.process, c.live, c.stdin = nil, nil, nil
	c.state = corev1.ContainerState{Terminated: &t}
	c.ready, c.started = false, false
	c.pod.mu.Unlock()
	c.pod.status.kick()
}

// startFailed reports a program that cannot be run, as containerd and the kubelet do between them.
func (c *container) startFailed(err error) (int, bool) {
	p := c.pod
	var start *sandbox.StartError
	if !errors.As(err, &start) {
		p.m.events.add(p.object(), c.name(), corev1.EventTypeWarning, "Failed", "Error: %s", err)
		reason := "CreateContainerError"
		var named *waitError
		if errors.As(err, &named) {
			reason = named.reason
		}
		c.waiting(reason, err.Error())
		if !c.sleep(firstBackOff / 5) {
			return 0, false
		}
		p.mu.Lock()
		c.restarts-- // it has not run: the next try is no restart
		p.mu.Unlock()
		return 1, c.again(1)
	}
	message := "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: " + err.Error()
	p.m.events.add(p.object(), c.name(), corev1.EventTypeNormal, "Created", "Container created")
	p.m.events.add(p.object(), c.name(), corev1.EventTypeWarning, "Failed", "Error: %s", message)
	now := metav1.Now()
	c.terminated(corev1.ContainerStateTerminated{ExitCode: startErrCode, Reason: "StartError", Message: message, StartedAt: metav1.Unix(0, 0), FinishedAt: now, ContainerID: c.id()})
	return startErrCode, true
}

func (c *container) id() string {
	return fmt.Sprintf("ebb-light://%s-%s-%d", c.pod.uid, c.name(), c.runs())
}

func (c *container) runs() int32 {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	return c.restarts
}

const maxMessage = 4096 // bytes, as the kubelet

// terminationMessage is what the program left in its file or, if asked for, the end of its log.
func (c *container) terminationMessage(exit int, logFile string) string {
	content, err := os.ReadFile(c.messageFile())
	if err == nil && len(content) > 0 {
		return string(content[max(0, len(content)-maxMessage):])
	}
	if c.spec.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError || exit == 0 {
		return ""
	}
	var b strings.Builder
	if err := podlog.Read(context.Background(), logFile, nil, podlog.Query{Tail: 80, LimitBytes: 2048}, &b); err != nil {
		return ""
	}
	return b.String()
}

func (c *container) messageFile() string {
	return filepath.Join(c.pod.dir, "containers", c.name()+".termination")
}

func (c *container) stopSignal() syscall.Signal {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	name := c.signal
	if name != "" && !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if s := unix.SignalNum(name); s != 0 {
		return s
	}
	return syscall.SIGTERM
}

// canChangeNetwork reports whether its programs could have changed the pod's network.
func (c *container) canChangeNetwork() bool {
	sc := c.spec.SecurityContext
	return sc != nil && (sc.Privileged != nil && *sc.Privileged || sc.Capabilities != nil && len(sc.Capabilities.Add) > 0)
}

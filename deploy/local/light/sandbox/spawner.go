package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawner is one thread that makes containers' namespaces around itself and forks. It never ends before the process does: the kernel kills what
// it forked when it ends (PDEATHSIG).
//
// The capabilities a child can have are the thread's bounding set, which only ever shrinks: so there are spawners per set.
type spawner struct {
	// The thread's own namespaces, to come back to.
	mnt, net, uts, pid int
	entersPID          bool // it may come back from another process namespace (not if its own belongs to somebody outside a user namespace)
	origin             int  // the mount namespace it came from
	// proc is the host's /proc, for when a container's root hides it.
	proc    int
	dev     string // a directory with the devices that containers see, a tmpfs in the thread's own mount namespace
	work    string // an empty directory to mount at, in namespaces that are thrown away
	beneath targets
}

// spawnerKey tells apart threads with different irrevocable rights.
type spawnerKey struct {
	caps       string
	noNewPrivs bool
	isolated   bool
}

// spawners hands out the threads, two for each kind: while one waits in exec the other makes mounts.
type spawners struct {
	dir string

	mu   sync.Mutex
	kind map[spawnerKey]chan func(*spawner)
	quit chan struct{}
	done sync.WaitGroup
}

const threadsPerKind = 2

func newSpawners(dir string) *spawners {
	return &spawners{dir: dir, kind: map[spawnerKey]chan func(*spawner){}, quit: make(chan struct{})}
}

// run runs job on a thread of that kind and waits for it.
func (s *spawners) run(key spawnerKey, job func(*spawner) error) error {
	queue, err := s.queue(key)
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	select {
	case queue <- func(t *spawner) { result <- job(t) }:
		return <-result
	case <-s.quit:
		return errors.New("the node is stopping")
	}
}

func (s *spawners) close() {
	close(s.quit)
	s.done.Wait()
}

// queue returns the queue of a kind of thread and starts the threads at first use.
func (s *spawners) queue(key spawnerKey) (chan func(*spawner), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.kind[key]; q != nil {
		return q, nil
	}
	q := make(chan func(*spawner))
	for range threadsPerKind {
		ready := make(chan error)
		s.done.Add(1)
		go s.serve(key, q, ready)
		if err := <-ready; err != nil {
			return nil, err
		}
	}
	s.kind[key] = q
	return q, nil
}

// serve is the life of one thread.
func (s *spawners) serve(key spawnerKey, q chan func(*spawner), ready chan<- error) {
	runtime.LockOSThread()
	s.work(key, q, ready)
	s.done.Done()
	park()
}

func (s *spawners) work(key spawnerKey, q chan func(*spawner), ready chan<- error) {
	t := &spawner{
		work: filepath.Join(s.dir, "merged"), dev: filepath.Join(s.dir, "dev"),
		beneath: targets{dir: filepath.Join(s.dir, "targets"), known: map[string]string{}},
	}
	err := t.prepare(key)
	ready <- err
	if err != nil {
		return
	}
	for {
		select {
		case job := <-q:
			job(t)
		case <-s.quit:
			t.leave()
			return
		}
	}
}

// leave gives up the thread's mount namespace, and with it the mounts that only it holds.
func (t *spawner) leave() {
	if t.origin == 0 {
		return
	}
	_ = unix.Setns(t.origin, unix.CLONE_NEWNS) // else they go with the process
	for _, fd := range []int{t.origin, t.mnt, t.net, t.uts, t.pid, t.proc} {
		unix.Close(fd)
	}
}

// prepare gives the thread its own mount namespace and its final rights.
func (t *spawner) prepare(key spawnerKey) error {
	if key.isolated {
		if err := t.prepareNamespaces(); err != nil {
			return err
		}
		if key.caps != allCaps {
			if err := boundCaps(strings.Split(key.caps, ",")); err != nil {
				return err
			}
		}
	}
	if key.noNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no new privileges: %w", err)
		}
	}
	return nil
}

func (t *spawner) prepareNamespaces() error {
	origin, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	t.origin = origin
	// A host name of its own too: in a user namespace there is no way back to one from outside.
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	// What the host mounts later is seen here (for hostPath volumes); what is mounted here is not seen there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := makeDev(t.dev); err != nil {
		return fmt.Errorf("devices: %w", err)
	}
	if err := unix.Mount("tmpfs", t.beneath.dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount targets: %w", err)
	}
	for _, ns := range []struct {
		fd   *int
		path string
	}{
		{&t.mnt, "/proc/thread-self/ns/mnt"}, {&t.net, "/proc/thread-self/ns/net"},
		{&t.uts, "/proc/thread-self/ns/uts"}, {&t.pid, "/proc/thread-self/ns/pid"},
	} {
		fd, err := unix.Open(ns.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", ns.path, err)
		}
		*ns.fd = fd
	}
	t.entersPID = unix.Setns(t.pid, unix.CLONE_NEWPID) == nil
	fd, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	t.proc = fd
	return err
}

// home brings the thread back to its own namespaces. A thread that cannot come back must not serve again.
func (t *spawner) home() {
	for _, ns := range []struct{ fd, kind int }{
		{t.mnt, unix.CLONE_NEWNS}, {t.net, unix.CLONE_NEWNET}, {t.uts, unix.CLONE_NEWUTS}, {t.pid, unix.CLONE_NEWPID},
	} {
		if ns.kind == unix.CLONE_NEWPID && !t.entersPID {
			continue
		}
		if err := unix.Setns(ns.fd, ns.kind); err != nil {
			// The descriptors are our own and were entered from: the kernel has no reason to refuse. Going on would mix up pods.
			panic(fmt.Sprintf("sandbox: return to own namespace: %v", err))
		}
	}
}

// fork starts the program in the namespaces that the thread is in. stopped is called while the program is loaded but has not run yet.
func (t *spawner) fork(path string, s *Spec, cloneflags uintptr, stopped func(pid int) error) (*Process, error) {
	pidfd := -1
	files, closeNull, err := s.streams()
	if err != nil {
		return nil, err
	}
	defer closeNull()
	attr := &syscall.ProcAttr{
		Dir:   s.Dir,
		Env:   s.Env,
		Files: files,
		Sys: &syscall.SysProcAttr{
			Setsid:     true,
			Setctty:    s.TTY,
			Pdeathsig:  syscall.SIGKILL,
			Cloneflags: cloneflags,
			Credential: credential(s.User),
			Ptrace:     stopped != nil,
			PidFD:      &pidfd,
		},
	}
	if s.inside {
		// It ends with the container's first process. (Go would take the parent, out of sight in another namespace, for dead and end the child.)
		attr.Sys.Pdeathsig = 0
	}
	if s.Cgroup != nil && s.Cgroup.unified != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(s.Cgroup.unified.Fd())
	}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	pid, err := syscall.ForkExec(path, s.Args, attr)
	if err != nil {
		return nil, &StartError{Path: s.Args[0], Err: err}
	}
	if pidfd < 0 {
		if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // our own child, not yet waited for
			return nil, fmt.Errorf("pidfd: %w", err)
		}
	}
	if stopped != nil {
		if err := t.whileStopped(pid, stopped); err != nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // our own child, not yet waited for
			_, _ = syscall.Wait4(pid, nil, 0, nil)
			unix.Close(pidfd)
			return nil, err
		}
	}
	return newProcess(pid, pidfd, s)
}

// whileStopped waits for the stop that comes with exec, calls f and lets the program go.
func (t *spawner) whileStopped(pid int, f func(int) error) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, syscall.WALL, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for exec: %w", err)
		}
		break
	}
	if !status.Stopped() {
		return fmt.Errorf("killed at exec (status %#x)", int(status))
	}
	if err := f(pid); err != nil {
		return err
	}
	return syscall.PtraceDetach(pid)
}

// streams gives the descriptors for 0, 1 and 2.
func (s *Spec) streams() ([]uintptr, func(), error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("/dev/null: %w", err)
	}
	files := []uintptr{uintptr(null), uintptr(null), uintptr(null)}
	for i, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f != nil {
			files[i] = f.Fd()
		}
	}
	return files, func() { unix.Close(null) }, nil
}

func key(s *Spec) spawnerKey {
	k := spawnerKey{isolated: true, caps: allCaps, noNewPrivs: s.NoNewPrivs}
	if !s.Privileged {
		k.caps = strings.Join(s.Caps, ",")
	}
	return k
}

// allCaps is the key of threads that keep every capability.
const allCaps = "ALL"

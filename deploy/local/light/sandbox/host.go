package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Host starts processes on this machine. One Host per Options.Dir at a time.
type Host struct {
	dir      string
	ability  Ability
	threads  *spawners
	networks *networks // nil in Plain mode
	cgroups  *cgroups
	warn     func(string, error)
	lock     *os.File
	users    userMap

	mu      sync.Mutex
	running map[*Process]bool
}

// Open prepares the machine, after removing what a Host of the same directory left when it crashed.
func Open(o Options) (*Host, error) {
	if o.Warn == nil {
		o.Warn = func(string, error) {}
	}
	for _, d := range []string{"containers", "run", "merged", "dev", "targets"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
	}
	h := &Host{dir: o.Dir, warn: o.Warn, running: map[*Process]bool{}, threads: newSpawners(o.Dir)}
	if err := h.claim(); err != nil {
		return nil, err
	}
	if err := h.open(o); err != nil {
		h.lock.Close()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return h, nil
}

func (h *Host) claim() error {
	f, err := os.OpenFile(filepath.Join(h.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("sandbox: a node runs in %s already; stop it or use another folder", h.dir)
	}
	h.lock = f
	return nil
}

func (h *Host) open(o Options) error {
	if err := h.endRemains(); err != nil {
		return err
	}
	h.ability = Ability{Mode: Plain, Why: "asked for", Rootless: inUserNamespace()}
	if o.Mode != Plain {
		h.ability = Detect(h.dir)
		if o.Mode == Isolated && h.ability.Mode != Isolated {
			return fmt.Errorf("isolation was asked for and is not possible: %s", h.ability.Why)
		}
	}
	h.users = readUserMap()
	var st unix.Stat_t
	if err := unix.Stat(h.dir, &st); err != nil {
		return err
	}
	h.cgroups = openCgroups(fmt.Sprintf("ebb-light-%x-%x", st.Dev, st.Ino)) // the same directory finds its groups again
	h.ability.Limits = h.cgroups.describe()
	if err := h.cgroups.removeRemains(); err != nil {
		h.warn("remove control groups of the last run", err)
	}
	if h.ability.Mode == Plain {
		return nil
	}
	pool := o.Pool
	if pool == 0 {
		pool = DefaultPool
	}
	var err error
	h.networks, err = openNetworks(o.Bridge, o.Subnet, pool, h.warn)
	return err
}

// endRemains ends processes and removes directories of a run that crashed.
func (h *Host) endRemains() error {
	records, err := os.ReadDir(filepath.Join(h.dir, "run"))
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := endRecorded(filepath.Join(h.dir, "run", r.Name())); err != nil {
			h.warn("end a process of the last run", err)
		}
	}
	left, err := os.ReadDir(filepath.Join(h.dir, "containers"))
	if err != nil {
		return err
	}
	for _, d := range left {
		if err := os.RemoveAll(filepath.Join(h.dir, "containers", d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Ability says what this host can do.
func (h *Host) Ability() Ability { return h.ability }

// Gateway is the bridge's address, where pods reach the host; zero in Plain mode.
func (h *Host) Gateway() netip.Addr {
	if h.networks == nil {
		return netip.Addr{}
	}
	return h.networks.gateway
}

// Subnet is where pods have their addresses; zero in Plain mode.
func (h *Host) Subnet() netip.Prefix {
	if h.networks == nil {
		return netip.Prefix{}
	}
	return h.networks.subnet
}

// Network takes a ready network namespace. In Plain mode it returns nil, the host's network.
func (h *Host) Network() (*Network, error) {
	if h.networks == nil {
		return nil, nil
	}
	return h.networks.get()
}

// ReturnNetwork gives it back when all its processes have ended. clean says that none of them could change it (no CAP_NET_ADMIN).
func (h *Host) ReturnNetwork(n *Network, clean bool) {
	if n != nil {
		h.networks.put(n, clean)
	}
}

// Limit makes a control group; nil where this host has none to give.
func (h *Host) Limit(id string, l Limits) (*Cgroup, error) {
	return h.cgroups.create(id, l, h.warn)
}

// Start runs the program of a container. The process has executed it when Start returns.
// An error is a *StartError if the program itself cannot be executed.
func (h *Host) Start(s *Spec) (*Process, error) {
	if len(s.Args) == 0 || s.Args[0] == "" {
		return nil, &StartError{Err: errors.New("no command specified")}
	}
	own := *s
	own.User = h.users.known(s.User)
	var p *Process
	var err error
	if h.ability.Mode == Isolated {
		p, err = h.startIsolated(&own)
	} else {
		p, err = h.startPlain(&own)
	}
	if err != nil {
		h.removeUpper(s.ID)
		return nil, err
	}
	p.end = append(p.end, func() { h.removeUpper(s.ID) })
	h.track(p)
	return p, nil
}

// track records the process, limits it where that comes after the start, and waits for its end.
func (h *Host) track(p *Process) {
	h.mu.Lock()
	h.running[p] = true
	h.mu.Unlock()
	p.end = append(p.end, func() {
		h.mu.Lock()
		delete(h.running, p)
		h.mu.Unlock()
	})
	if err := p.writeRecord(filepath.Join(h.dir, "run", fmt.Sprint(p.PID))); err != nil && !errors.Is(err, os.ErrNotExist) {
		h.warn("record a process", err)
	}
	if p.spec.Cgroup != nil && p.spec.Cgroup.version == 1 {
		limited := make(chan struct{})
		go func() {
			defer close(limited)
			p.spec.Cgroup.add(p.PID)
		}()
		p.end = append(p.end, func() { <-limited })
	}
	p.watch()
}

func (h *Host) upper(id string) string { return filepath.Join(h.dir, "containers", id) }

// removeUpper deletes what a container wrote. In the background: nobody waits for it, and the next start of the container has another ID.
func (h *Host) removeUpper(id string) {
	if err := os.RemoveAll(h.upper(id)); err != nil {
		h.warn("remove a container's files", err)
	}
}

func (h *Host) startIsolated(s *Spec) (*Process, error) {
	upper := h.upper(s.ID)
	for _, d := range []string{upper, filepath.Join(upper, "upper"), filepath.Join(upper, "work")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, fmt.Errorf("container %s: %w", s.ID, err)
		}
	}
	var p *Process
	err := h.threads.run(key(s), func(t *spawner) error {
		defer t.home()
		if s.Network != nil {
			if err := unix.Setns(int(s.Network.ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter the pod's network: %w", err)
			}
		}
		if err := t.enterRoot(s, upper, h.ability.OwnProc); err != nil {
			return err
		}
		path, err := lookPath(s.Args[0], searchPath(s.Env), s.Dir, executable)
		if err != nil {
			return &StartError{Path: s.Args[0], Err: err}
		}
		p, err = t.fork(path, s, syscall.CLONE_NEWPID, func(pid int) error { return h.finishRoot(t, pid, s) })
		return err
	})
	return p, err
}

// finishRoot completes the container's root while its program waits to run: /proc needs the process namespace, and the host's root must be there
// for the kernel to allow it (in user namespaces it asks that a whole /proc be in sight).
func (h *Host) finishRoot(t *spawner, pid int, s *Spec) error {
	if h.ability.OwnProc {
		if err := t.mountProc(pid, s); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	return nil
}

// startPlain runs a program on the host's network and file system, found inside the image's directory.
func (h *Host) startPlain(s *Spec) (*Process, error) {
	root := s.Rootfs
	path, err := lookPath(s.Args[0], searchPath(s.Env), s.Dir, func(name string) error { return executable(filepath.Join(root, name)) })
	if err != nil {
		return nil, &StartError{Path: s.Args[0], Err: err}
	}
	dir := filepath.Join(root, s.Dir)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = root
	}
	own := *s
	own.Dir = dir
	var p *Process
	err = h.threads.run(spawnerKey{noNewPrivs: s.NoNewPrivs}, func(t *spawner) error {
		p, err = t.fork(filepath.Join(root, path), &own, 0, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.group = true
	return p, nil
}

// Exec runs a further program inside a running container.
func (h *Host) Exec(in *Process, s *Spec) (*Process, error) {
	own := *s
	own.Cgroup, own.User, own.Network = in.spec.Cgroup, h.users.known(s.User), nil
	own.Caps, own.Privileged, own.NoNewPrivs = in.spec.Caps, in.spec.Privileged, in.spec.NoNewPrivs
	select {
	case <-in.done:
		return nil, errors.New("container is not running")
	default:
	}
	if len(s.Args) == 0 {
		return nil, &StartError{Err: errors.New("no command specified")}
	}
	var p *Process
	var err error
	if h.ability.Mode == Plain {
		own.Rootfs = in.spec.Rootfs
		p, err = h.startPlain(&own)
	} else {
		err = h.threads.run(key(&own), func(t *spawner) error {
			defer t.home()
			if err := t.enter(in); err != nil {
				return err
			}
			path, err := lookPath(own.Args[0], searchPath(own.Env), own.Dir, executable)
			if err != nil {
				return &StartError{Path: own.Args[0], Err: err}
			}
			own.inside = t.entersPID
			p, err = t.fork(path, &own, 0, nil)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	p.group = !own.inside
	h.track(p)
	if !own.inside {
		go p.endWith(in)
	}
	return p, nil
}

// endWith ends a process with the container it was started in, where the kernel does not see to that.
func (p *Process) endWith(in *Process) {
	select {
	case <-in.Done():
		_ = p.Signal(syscall.SIGKILL) // has ended at worst
	case <-p.Done():
	}
}

// enter takes the thread into the namespaces of a process; what it forks is there too.
func (t *spawner) enter(p *Process) error {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var nsErr error
	which := unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS
	if t.entersPID {
		which |= unix.CLONE_NEWPID
	}
	err = raw.Control(func(fd uintptr) { nsErr = unix.Setns(int(fd), which) })
	if err = errors.Join(err, nsErr); err != nil {
		return fmt.Errorf("enter the container: %w", err)
	}
	return nil
}

// InNetwork runs f in a thread that is in the pod's network namespace, for sockets that are to be opened there. f must not start goroutines that
// open sockets. A nil Network is the host's.
func (h *Host) InNetwork(n *Network, f func() error) error {
	if n == nil {
		return f()
	}
	return h.threads.run(spawnerKey{isolated: true, caps: allCaps}, func(t *spawner) error {
		if err := unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the pod's network: %w", err)
		}
		defer t.home()
		return f()
	})
}

// Close ends every process that is still there and removes what Open made.
func (h *Host) Close() error {
	h.mu.Lock()
	var left []*Process
	for p := range h.running {
		left = append(left, p)
	}
	h.mu.Unlock()
	for _, p := range left {
		_ = p.Signal(syscall.SIGKILL) // ended meanwhile at worst
	}
	for _, p := range left {
		<-p.Done()
	}
	h.threads.close()
	var err error
	if h.networks != nil {
		err = h.networks.close()
	}
	return errors.Join(err, h.cgroups.close(), h.lock.Close())
}

// userMap knows which users exist here: in a user namespace, only those that are mapped.
type userMap struct {
	uids, gids []idRange // nil is everybody
	noGroups   bool
}

type idRange struct{ first, count uint64 }

func readUserMap() userMap {
	setgroupsDenied() // read now: inside a container's root there is no /proc to read it from
	if !inUserNamespace() && os.Geteuid() == 0 {
		return userMap{}
	}
	if os.Geteuid() != 0 {
		self := []idRange{{uint64(os.Geteuid()), 1}}
		group := []idRange{{uint64(os.Getegid()), 1}}
		return userMap{uids: self, gids: group, noGroups: true}
	}
	return userMap{uids: readIDs("/proc/self/uid_map"), gids: readIDs("/proc/self/gid_map"), noGroups: setgroupsDenied()}
}

func readIDs(file string) []idRange {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var ranges []idRange
	for line := range strings.Lines(string(content)) {
		var r idRange
		var outside uint64
		if _, err := fmt.Sscan(line, &r.first, &outside, &r.count); err == nil {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// known replaces users that do not exist here by the one we are: without mapped users all programs run as the person who started the node.
func (m userMap) known(u User) User {
	u.UID, u.GID = knownID(m.uids, u.UID, os.Geteuid()), knownID(m.gids, u.GID, os.Getegid())
	if m.noGroups {
		u.Groups = nil
	}
	return u
}

func knownID(ranges []idRange, id uint32, own int) uint32 {
	for _, r := range ranges {
		if uint64(id) >= r.first && uint64(id) < r.first+r.count {
			return id
		}
	}
	if ranges == nil {
		return id
	}
	return uint32(own)
}

// credential is how a child becomes the user. Supplementary groups cannot be set where the kernel forbids it, and need not be where we are that user.
func credential(u User) *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups, NoSetGroups: setgroupsDenied()}
}

var setgroupsDenied = sync.OnceValue(func() bool {
	content, err := os.ReadFile("/proc/self/setgroups")
	return err == nil && strings.TrimSpace(string(content)) == "deny"
})

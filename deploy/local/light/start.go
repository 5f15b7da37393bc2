package light

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/local/light/podenv"
	"ebb.dev/ebb/deploy/local/light/podlog"
	"ebb.dev/ebb/deploy/local/light/sandbox"
)

// run is one run of a container's program.
type run struct {
	process *sandbox.Process
	log     *podlog.Log
	cgroup  *sandbox.Cgroup
	output  sync.WaitGroup
	pipes   []*os.File
}

// outputGrace is how long output may go on after the program: what it left running may hold the pipe.
const outputGrace = time.Second

// finish waits for the rest of the output and removes what the run had.
func (r *run) finish() {
	timer := time.AfterFunc(outputGrace, func() {
		for _, p := range r.pipes {
			p.Close()
		}
	})
	r.output.Wait()
	timer.Stop()
	for _, p := range r.pipes {
		p.Close()
	}
	r.log.Close()
	r.cgroup.Remove()
}

// start executes the container's program.
func (c *container) start(rootfs *image.Rootfs) (*run, error) {
	p := c.pod
	obj := p.object()
	s, err := c.sandboxSpec(obj, rootfs)
	if err != nil {
		return nil, &waitError{"CreateContainerConfigError", err}
	}
	dir := filepath.Join(p.logDir(), c.name())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	number := int(c.runs())
	if number > 1 { // the current log and the one before are kept
		_ = podlog.Remove(c.logFile(number - 2))
	}
	r := &run{}
	if r.log, err = podlog.Create(c.logFile(number), cmp.Or(p.m.LogLimit, podlog.DefaultLimit), time.Now); err != nil {
		return nil, err
	}
	if r.cgroup, err = p.m.host.Limit(s.ID, limits(c.spec)); err != nil {
		r.log.Close()
		return nil, err
	}
	s.Cgroup = r.cgroup
	tee := newBroadcast()
	closeChildren, err := c.connect(r, s, tee)
	if err != nil {
		r.finish()
		return nil, err
	}
	p.mu.Lock()
	c.env, c.user, c.workDir, c.tee = s.Env, s.User, s.Dir, tee
	p.mu.Unlock()
	r.process, err = p.m.host.Start(s)
	closeChildren()
	if err != nil {
		r.finish()
		return nil, err
	}
	return r, nil
}

func (c *container) logFile(run int) string {
	return filepath.Join(c.pod.logDir(), c.name(), strconv.Itoa(run)+".log")
}

// connect gives the program its streams: pipes into the log, or a terminal if the pod asks for one.
func (c *container) connect(r *run, s *sandbox.Spec, tee *broadcast) (closeChildren func(), err error) {
	var children []*os.File
	closeChildren = func() {
		for _, f := range children {
			f.Close()
		}
	}
	if c.spec.TTY {
		master, slave, err := openTerminal()
		if err != nil {
			return nil, err
		}
		children = append(children, slave)
		s.Stdin, s.Stdout, s.Stderr, s.TTY = slave, slave, slave, true
		r.pipes = append(r.pipes, master)
		c.setStdin(master)
		c.copyLog(r, "stdout", master, tee)
		return closeChildren, nil
	}
	for stream, target := range map[string]**os.File{"stdout": &s.Stdout, "stderr": &s.Stderr} {
		read, write, err := pipe()
		if err != nil {
			closeChildren()
			return nil, err
		}
		*target = write
		children = append(children, write)
		r.pipes = append(r.pipes, read)
		c.copyLog(r, stream, read, tee)
	}
	if c.spec.Stdin {
		read, write, err := pipe()
		if err != nil {
			closeChildren()
			return nil, err
		}
		s.Stdin = read
		children = append(children, read)
		r.pipes = append(r.pipes, write)
		c.setStdin(write)
	}
	return closeChildren, nil
}

func (c *container) setStdin(f *os.File) {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	c.stdin = f
}

func (c *container) copyLog(r *run, stream string, from *os.File, tee *broadcast) {
	r.output.Go(func() {
		err := r.log.Copy(stream, from, func(b []byte) { tee.send(stream, b) })
		if err != nil && !errors.Is(err, unix.EIO) && !errors.Is(err, os.ErrClosed) { // EIO is how a terminal ends
			c.pod.m.Log.Warn("log not written", "pod", c.pod.key(), "container", c.name(), "err", err)
		}
	})
}

// pipe makes a pipe whose ends are not in non-blocking mode: a program does not expect that of its output.
func pipe() (read, write *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	return parentEnd(fds[0], "read"), os.NewFile(uintptr(fds[1]), "write"), nil
}

// parentEnd lets Go's poller wait on our end, so that a quiet container costs no thread. The two ends of a pipe have modes of their own.
func parentEnd(fd int, name string) *os.File {
	_ = unix.SetNonblock(fd, true) // blocking costs a thread, nothing else
	return os.NewFile(uintptr(fd), name)
}

func limits(c *corev1.Container) sandbox.Limits {
	var l sandbox.Limits
	if q, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
		l.MemoryBytes = q.Value()
	}
	if q, ok := c.Resources.Limits[corev1.ResourceCPU]; ok {
		l.MilliCPU = q.MilliValue()
	}
	if q, ok := c.Resources.Requests[corev1.ResourceCPU]; ok && l != (sandbox.Limits{}) {
		l.CPUShares = max(2, q.MilliValue()*1024/1000)
	}
	return l
}

// sandboxSpec works out everything about the program. Its errors are the pod's fault (a missing key, a user that does not exist).
func (c *container) sandboxSpec(obj *corev1.Pod, rootfs *image.Rootfs) (*sandbox.Spec, error) {
	p, cfg := c.pod, rootfs.Config.Config
	own, err := podenv.Environment(obj, c.spec, p.baseEnv(obj), p.m.objects, p.facts())
	if err != nil {
		return nil, err
	}
	s := &sandbox.Spec{
		ID: fmt.Sprintf("%s-%s-%d-%x", p.uid, c.name(), c.runs(), time.Now().UnixNano()), Rootfs: rootfs.Path,
		Hostname: p.hostname(), Network: p.network, Dir: cmp.Or(c.spec.WorkingDir, cfg.WorkingDir),
	}
	if s.User, err = c.security(obj, rootfs, s); err != nil {
		return nil, err
	}
	s.Env = mergeEnv(cfg.Env, append(own, "HOSTNAME="+s.Hostname))
	s.Args = command(c.spec, cfg.Entrypoint, cfg.Cmd, own)
	if _, home, err := sandbox.LookupUser(rootfs.Path, strconv.Itoa(int(s.User.UID))); err == nil && !hasKey(s.Env, "HOME") {
		s.Env = append(s.Env, "HOME="+home)
	}
	if s.Mounts, err = c.mounts(obj, own); err != nil {
		return nil, err
	}
	if p.m.host.Ability().Mode == sandbox.Plain {
		s.Env = append(s.Env, "EBB_ROOTFS="+rootfs.Path, "EBB_VOLUMES="+filepath.Join(p.dir, "mounts", c.name()))
		return s, c.linkVolumes(s.Mounts)
	}
	return s, nil
}

// command combines the pod's command and args with the image's as Kubernetes defines it.
func command(c *corev1.Container, entrypoint, cmd, env []string) []string {
	switch {
	case len(c.Command) > 0:
		return podenv.ExpandAll(slices.Concat(c.Command, c.Args), env)
	case len(c.Args) > 0:
		return append(slices.Clone(entrypoint), podenv.ExpandAll(c.Args, env)...)
	}
	return slices.Concat(entrypoint, cmd)
}

// mergeEnv puts the pod's variables over the image's.
func mergeEnv(image, own []string) []string {
	values := map[string]string{}
	for _, kv := range slices.Concat(image, own) {
		k, v, _ := strings.Cut(kv, "=")
		values[k] = v
	}
	env := make([]string, 0, len(values))
	for _, k := range slices.Sorted(maps.Keys(values)) {
		env = append(env, k+"="+values[k])
	}
	return env
}

func hasKey(env []string, key string) bool {
	return slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, key+"=") })
}

// baseEnv tells programs of Services, where the pod wants that, and of Kubernetes itself.
func (p *pod) baseEnv(obj *corev1.Pod) map[string]string {
	env := map[string]string{}
	if obj.Spec.EnableServiceLinks == nil || *obj.Spec.EnableServiceLinks {
		env = podenv.Services(p.m.objects.servicesOf(p.namespace))
	}
	for _, s := range p.m.objects.servicesOf(corev1.NamespaceDefault) {
		if s.Name == "kubernetes" {
			maps.Copy(env, podenv.Services([]*corev1.Service{s}))
		}
	}
	if p.m.APIServerHost != "" {
		env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"] = p.m.APIServerHost, p.m.APIServerPort
		env["KUBERNETES_SERVICE_PORT_HTTPS"] = p.m.APIServerPort
	}
	return env
}

// security reads both security contexts; the container's wins.
func (c *container) security(obj *corev1.Pod, rootfs *image.Rootfs, s *sandbox.Spec) (sandbox.User, error) {
	user, _, err := sandbox.LookupUser(rootfs.Path, rootfs.Config.Config.User)
	if err != nil {
		return user, err
	}
	var nonRoot *bool
	if sc := obj.Spec.SecurityContext; sc != nil {
		setID(&user.UID, sc.RunAsUser)
		setID(&user.GID, sc.RunAsGroup)
		nonRoot = sc.RunAsNonRoot
		for _, g := range sc.SupplementalGroups {
			user.Groups = append(user.Groups, uint32(g))
		}
		if sc.FSGroup != nil {
			user.Groups = append(user.Groups, uint32(*sc.FSGroup))
		}
	}
	var add, drop []string
	if sc := c.spec.SecurityContext; sc != nil {
		setID(&user.UID, sc.RunAsUser)
		setID(&user.GID, sc.RunAsGroup)
		nonRoot = cmp.Or(sc.RunAsNonRoot, nonRoot)
		s.ReadOnly = sc.ReadOnlyRootFilesystem != nil && *sc.ReadOnlyRootFilesystem
		s.Privileged = sc.Privileged != nil && *sc.Privileged
		s.NoNewPrivs = sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation
		if sc.Capabilities != nil {
			for _, n := range sc.Capabilities.Add {
				add = append(add, string(n))
			}
			for _, n := range sc.Capabilities.Drop {
				drop = append(drop, string(n))
			}
		}
	}
	if nonRoot != nil && *nonRoot && user.UID == 0 {
		return user, errors.New("container has runAsNonRoot and image will run as root")
	}
	s.Caps, err = sandbox.Capabilities(add, drop)
	return user, err
}

func setID(id *uint32, v *int64) {
	if v != nil {
		*id = uint32(*v)
	}
}

// mounts lists what the container sees of the pod's volumes and names.
func (c *container) mounts(obj *corev1.Pod, env []string) ([]sandbox.Mount, error) {
	p := c.pod
	message := c.messageFile()
	if err := os.WriteFile(message, nil, 0o666); err != nil {
		return nil, err
	}
	if err := os.Chmod(message, 0o666); err != nil {
		return nil, err
	}
	mounts := []sandbox.Mount{
		{Source: filepath.Join(p.inMemory, "resolv.conf"), Target: "/etc/resolv.conf"},
		{Source: filepath.Join(p.inMemory, "hosts"), Target: "/etc/hosts"},
		{Source: filepath.Join(p.inMemory, "hostname"), Target: "/etc/hostname"},
		{Source: message, Target: cmp.Or(c.spec.TerminationMessagePath, corev1.TerminationMessagePathDefault)},
	}
	for _, m := range c.spec.VolumeMounts {
		v := findVolume(obj, m.Name)
		if v == nil {
			return nil, fmt.Errorf("volumeMounts %q: the pod has no volume of that name", m.Name)
		}
		mount := sandbox.Mount{Source: p.volumes[m.Name], Target: m.MountPath, SubPath: m.SubPath, ReadOnly: m.ReadOnly || v.EmptyDir == nil && v.HostPath == nil}
		if m.SubPathExpr != "" {
			mount.SubPath = podenv.ExpandAll([]string{m.SubPathExpr}, env)[0]
		}
		if mount.SubPath != "" && v.EmptyDir != nil && filepath.IsLocal(mount.SubPath) {
			if err := os.MkdirAll(filepath.Join(mount.Source, mount.SubPath), 0o777); err != nil {
				return nil, err
			}
		}
		mounts = append(mounts, mount)
	}
	return mounts, nil
}

func findVolume(obj *corev1.Pod, name string) *corev1.Volume {
	for i := range obj.Spec.Volumes {
		if obj.Spec.Volumes[i].Name == name {
			return &obj.Spec.Volumes[i]
		}
	}
	return nil
}

// linkVolumes lays links to the volumes out by their mount paths, for programs that cannot have them where they look (plain mode).
func (c *container) linkVolumes(mounts []sandbox.Mount) error {
	base := filepath.Join(c.pod.dir, "mounts", c.name())
	if err := os.RemoveAll(base); err != nil {
		return err
	}
	for _, m := range mounts {
		target := filepath.Join(base, filepath.Clean("/"+m.Target))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join(m.Source, m.SubPath), target); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

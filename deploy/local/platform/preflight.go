package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ebb.dev/ebb/deploy/local/cgroup"
	"ebb.dev/ebb/deploy/local/network"
	"golang.org/x/sys/unix"
)

// tools are the programs a platform is made of.
type tools struct {
	ebb, kube, envoy        string
	containerd, shim, pause string
	runc, cni               string
	bin                     string
}

// cniFolders are where distributions put network plugins.
var cniFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// debianPackages are what a kubelet node needs of the distribution.
const debianPackages = "apt-get install -y --no-install-recommends runc containernetworking-plugins iptables"

// findTools looks for what every platform needs.
func findTools(bin string) (tools, error) {
	self, err := os.Executable()
	if err != nil {
		return tools{}, err
	}
	if bin == "" {
		bin = filepath.Dir(self)
	}
	// A runtime's shim is found by a whole path only, and containerd has a folder of its own.
	if bin, err = filepath.Abs(bin); err != nil {
		return tools{}, fmt.Errorf("folder of programs: %w", err)
	}
	t := tools{ebb: self, bin: bin, envoy: findEnvoy(bin)}
	t.kube = filepath.Join(bin, "ebb-kube")
	if !executable(t.kube) {
		return t, fmt.Errorf("%s is missing; build it with: make bin/ebb-kube", t.kube)
	}
	return t, nil
}

// findEnvoy prefers what EBB_ENVOY names, then the pinned one, then one on the path.
func findEnvoy(bin string) string {
	if path := os.Getenv("EBB_ENVOY"); path != "" {
		return path
	}
	if path := filepath.Join(bin, "envoy"); executable(path) {
		return path
	}
	path, _ := exec.LookPath("envoy")
	return path
}

// findNodeTools looks for what a kubelet node needs besides; the error names everything that is missing and how to get it.
func (t *tools) findNodeTools() error {
	var built, packaged []string
	for name, into := range map[string]*string{"containerd": &t.containerd, "containerd-shim-runc-v2": &t.shim, "ebb-pause": &t.pause} {
		if *into = filepath.Join(t.bin, name); !executable(*into) {
			built = append(built, "bin/"+name)
		}
	}
	for _, name := range []string{"runc", "iptables", "iptables-save", "iptables-restore"} {
		path, err := lookPath(name)
		if err != nil {
			packaged = append(packaged, name)
		}
		if name == "runc" {
			t.runc = path
		}
	}
	for _, dir := range cniFolders {
		if executable(filepath.Join(dir, "bridge")) && executable(filepath.Join(dir, "host-local")) {
			t.cni = dir
			break
		}
	}
	if t.cni == "" {
		packaged = append(packaged, "CNI plugins")
	}
	var problems []error
	if len(built) > 0 {
		problems = append(problems, fmt.Errorf("%s missing, build with: make %s", strings.Join(built, ", "), strings.Join(built, " ")))
	}
	if len(packaged) > 0 {
		problems = append(problems, fmt.Errorf("%s missing, on Debian: %s", strings.Join(packaged, ", "), debianPackages))
	}
	return errors.Join(problems...)
}

// lookPath also looks where administrators' tools are, which many users' PATH leaves out.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path := filepath.Join(dir, name); executable(path) {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// chooseNode decides for auto, and says why not for a kind that cannot be had. note is for the person who asked for nothing.
func chooseNode(asked string, t *tools) (kind, note string, err error) {
	obstacle := kubeletObstacle(t)
	switch asked {
	case NodeLight:
		return NodeLight, "", nil
	case NodeKubelet:
		if obstacle != nil {
			return "", "", fmt.Errorf("--node=kubelet is not possible: %w; or use --node=light", obstacle)
		}
		return NodeKubelet, "", nil
	case NodeAuto, "":
		if obstacle != nil {
			return NodeLight, fmt.Sprintf("node: light (plain processes), not kubelet: %s", oneLine(obstacle)), nil
		}
		return NodeKubelet, "", nil
	}
	return "", "", fmt.Errorf("--node=%s: must be auto, kubelet or light", asked)
}

// kubeletObstacle is why a real kubelet cannot run here, or nil.
func kubeletObstacle(t *tools) error {
	if os.Geteuid() != 0 || !network.Allowed() {
		return errors.New("it needs root")
	}
	if err := t.findNodeTools(); err != nil {
		return err
	}
	h, err := cgroup.Detect()
	if err != nil {
		return err
	}
	if len(h.V1) == 0 && h.V2 == "" {
		return errors.New("no cgroups are mounted")
	}
	return nil
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// checkPort returns why nothing can listen on the loopback port, or nil.
func checkPort(port int, flag string) error {
	l, err := net.Listen("tcp", loopback(port))
	if err == nil {
		return l.Close()
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("port %d is in use%s; stop that, or choose another with %s", port, holderOf(port), flag)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("port %d needs root; choose one above 1023 with %s", port, flag)
	}
	return fmt.Errorf("port %d: %w; choose another with %s", port, err, flag)
}

// freePort is a loopback port that nothing listens on: preferred, if it is one.
func freePort(preferred int) (int, error) {
	for _, p := range []int{preferred, 0} {
		l, err := net.Listen("tcp", loopback(p))
		if err != nil {
			continue
		}
		port := l.Addr().(*net.TCPAddr).Port
		return port, l.Close()
	}
	return 0, errors.New("no free port on 127.0.0.1")
}

// holderOf says who listens on port, as far as this user may see: " by nginx (pid 12)".
func holderOf(port int) string {
	inodes := listening(port)
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		link, err := os.Readlink(fd)
		if err != nil || !strings.HasPrefix(link, "socket:[") || !inodes[strings.Trim(link[len("socket:"):], "[]")] {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		comm, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if err != nil {
			continue
		}
		return fmt.Sprintf(" by %s (pid %s)", strings.TrimSpace(string(comm)), pid)
	}
	return ""
}

// listening are the inodes of sockets that listen on port.
func listening(port int) map[string]bool {
	out := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(data), "\n") {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				out[f[9]] = true
			}
		}
	}
	return out
}

// snapshotter is overlayfs if the file system below dir can carry it, else plain copies.
func snapshotter(dir string) string {
	base := filepath.Join(dir, "overlay-check")
	defer os.RemoveAll(base)
	var options []string
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o700); err != nil {
			return "native"
		}
		if d != "merged" {
			options = append(options, d+"dir="+filepath.Join(base, d))
		}
	}
	merged := filepath.Join(base, "merged")
	if err := unix.Mount("overlay", merged, "overlay", 0, strings.Join(options, ",")); err != nil {
		return "native"
	}
	unix.Unmount(merged, unix.MNT_DETACH)
	return "overlayfs"
}

// restricted reports whether this process lacks a privilege a kubelet expects: CAP_SYS_RESOURCE, as in many containers.
func restricted() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return true
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) == 0
}

// nodeName is the machine's name as Kubernetes accepts it.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		return "ebb"
	}
	var b strings.Builder
	for _, r := range strings.ToLower(host) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	if name := strings.Trim(b.String(), "-."); name != "" {
		return name
	}
	return "ebb"
}

// exists reports whether path is there.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

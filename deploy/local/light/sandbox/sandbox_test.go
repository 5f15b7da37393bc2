package sandbox

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the program that the tests run in containers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "container" {
		container(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

func container(args []string) {
	switch args[0] {
	case "exit":
		var code int
		fmt.Sscan(args[1], &code)
		os.Exit(code)
	case "serve":
		l, err := net.Listen("tcp", ":8080")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("listening")
		http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") }))
	case "cat":
		for _, name := range args[1:] {
			b, err := os.ReadFile(name)
			fmt.Printf("%s: %s %v\n", name, strings.TrimSpace(string(b)), err)
		}
	case "write":
		for _, name := range args[1:] {
			fmt.Printf("%s: %v\n", name, os.WriteFile(name, []byte("x"), 0o644))
		}
	case "who":
		host, _ := os.Hostname()
		wd, _ := os.Getwd()
		self, err := os.Readlink("/proc/self")
		fmt.Printf("pid=%d uid=%d gid=%d host=%s wd=%s proc=%s %v\n", os.Getpid(), os.Getuid(), os.Getgid(), host, wd, self, err)
	case "term":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		os.Exit(7)
	case "family":
		child := exec.Command("/proc/self/exe", "container", "sleep")
		child.Start()
		fmt.Println("child")
		select {}
	case "bloat":
		var hold [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			hold = append(hold, b)
			_ = hold
		}
	case "sleep":
		select {}
	}
}

// openHost opens a host in a temporary directory and closes it at the end.
func openHost(t testing.TB, mode Mode, pool int) *Host {
	t.Helper()
	h, err := Open(Options{Dir: t.TempDir(), Mode: mode, Pool: pool, Warn: func(what string, err error) { t.Logf("%s: %v", what, err) }})
	if err != nil {
		if mode == Isolated {
			t.Skipf("needs root and namespaces: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// testRootfs is an image with the test binary as /app.
func testRootfs(t testing.TB) string {
	t.Helper()
	if f, err := elf.Open("/proc/self/exe"); err != nil || f.Section(".interp") != nil {
		t.Skip("needs a test binary that is linked statically: CGO_ENABLED=0 go test")
	}
	dir := t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755) // other users run programs from here
	os.Chmod(dir, 0o755)
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	app, err := os.OpenFile(filepath.Join(dir, "app"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(app, self); err != nil {
		t.Fatal(err)
	}
	app.Close()
	os.MkdirAll(filepath.Join(dir, "etc"), 0o755)
	os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("app:x:1234:1235::/home/app:\n"), 0o644)
	os.WriteFile(filepath.Join(dir, "etc/group"), []byte("staff:x:50:app\n"), 0o644)
	os.Symlink("/etc", filepath.Join(dir, "linked"))
	return dir
}

var serial struct {
	sync.Mutex
	n int
}

func spec(rootfs string, args ...string) *Spec {
	serial.Lock()
	defer serial.Unlock()
	serial.n++
	caps, _ := Capabilities(nil, nil)
	return &Spec{ID: fmt.Sprintf("c%d", serial.n), Rootfs: rootfs, Args: append([]string{"/app", "container"}, args...), Hostname: "pod", Caps: caps, Env: []string{"PATH=/:/bin"}}
}

// output starts a program and gives a reader of its standard output.
func output(t testing.TB, h *Host, s *Spec, start func(*Spec) (*Process, error)) (*Process, *bufio.Reader) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	s.Stdout, s.Stderr = w, w
	p, err := start(s)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return p, bufio.NewReader(r)
}

func runToEnd(t testing.TB, h *Host, s *Spec) (Exit, string) {
	t.Helper()
	p, r := output(t, h, s, h.Start)
	out, _ := io.ReadAll(r)
	<-p.Done()
	return p.Exit(), string(out)
}

func line(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	l, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("no line: %v", err)
	}
	return strings.TrimSpace(l)
}

func TestAContainerSeesItsOwnWorld(t *testing.T) {
	h := openHost(t, Isolated, 1)
	root := testRootfs(t)
	s := spec(root, "who")
	s.Dir = "/made/for/me"
	user, home, err := LookupUser(root, "app")
	if err != nil || home != "/home/app" {
		t.Fatal(home, err)
	}
	s.User = user
	exit, out := runToEnd(t, h, s)
	want := "pid=1 uid=1234 gid=1235 host=pod wd=/made/for/me proc=1 <nil>\n"
	if h.Ability().Rootless {
		want = strings.ReplaceAll(strings.ReplaceAll(want, "1234", "0"), "1235", "0")
	}
	if !h.Ability().OwnProc {
		out, want = out[:strings.Index(out, "proc=")], want[:strings.Index(want, "proc=")]
	}
	if exit.Code != 0 || out != want {
		t.Fatalf("exit %d: got %q, want %q", exit.Code, out, want)
	}
	if _, err := os.Stat(filepath.Join(root, "made")); err == nil {
		t.Error("the image itself was written to")
	}
}

func TestVolumesAreWhereTheProgramLooksForThem(t *testing.T) {
	h := openHost(t, Isolated, 1)
	vol := t.TempDir()
	os.WriteFile(filepath.Join(vol, "key"), []byte("value"), 0o644)
	os.Mkdir(filepath.Join(vol, "sub"), 0o755)
	os.WriteFile(filepath.Join(vol, "sub", "deep"), []byte("down"), 0o644)
	os.Symlink("/etc/passwd", filepath.Join(vol, "evil"))
	s := spec(testRootfs(t), "cat", "/etc/config/key", "/etc/via-link/deep", "/etc/hosts")
	s.Mounts = []Mount{
		{Source: vol, Target: "/etc/config", ReadOnly: true},
		{Source: vol, SubPath: "sub", Target: "/linked/via-link"}, // /linked is a link to /etc
		{Source: filepath.Join(vol, "key"), Target: "/etc/hosts"},
	}
	if _, out := runToEnd(t, h, s); out != "/etc/config/key: value <nil>\n/etc/via-link/deep: down <nil>\n/etc/hosts: value <nil>\n" {
		t.Fatalf("got %q", out)
	}
	s = spec(testRootfs(t), "write", "/etc/config/new", "/free/new", "/proc/sys/kernel/panic")
	s.Mounts = []Mount{{Source: vol, Target: "/etc/config", ReadOnly: true}, {Target: "/free", Tmpfs: 1 << 20}}
	_, out := runToEnd(t, h, s)
	if strings.Count(out, "read-only file system") != 2 || !strings.Contains(out, "/free/new: <nil>") {
		t.Fatalf("got %q", out)
	}
	s = spec(testRootfs(t), "write", "/x", "/tmp/x")
	s.ReadOnly = true
	s.Mounts = []Mount{{Target: "/tmp", Tmpfs: -1}}
	if _, out := runToEnd(t, h, s); !strings.Contains(out, "/x: open /x: read-only") || !strings.Contains(out, "/tmp/x: <nil>") {
		t.Fatalf("got %q", out)
	}
	s = spec(testRootfs(t), "cat", "/mnt")
	s.Mounts = []Mount{{Source: vol, SubPath: "../../../etc/passwd", Target: "/mnt"}}
	if _, err := h.Start(s); err == nil {
		t.Fatal("a subPath left its volume")
	}
}

func TestPodsHaveAddressesAndOneEach(t *testing.T) {
	h := openHost(t, Isolated, 2)
	root := testRootfs(t)
	for range 3 {
		n, err := h.Network()
		if err != nil {
			t.Fatal(err)
		}
		s := spec(root, "serve")
		s.Network = n
		p, r := output(t, h, s, h.Start)
		if got := line(t, r); got != "listening" {
			t.Fatal(got)
		}
		resp, err := http.Get("http://" + n.IP.String() + ":8080")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "served" {
			t.Fatalf("got %q", body)
		}
		http.DefaultClient.CloseIdleConnections()
		p.Signal(syscall.SIGKILL)
		<-p.Done()
		defer h.ReturnNetwork(n, true)
	}
}

func TestExitsAreReportedAsTheyWere(t *testing.T) {
	for _, mode := range []Mode{Isolated, Plain} {
		t.Run(string(mode), func(t *testing.T) {
			h := openHost(t, mode, 1)
			root := testRootfs(t)
			if exit, _ := runToEnd(t, h, spec(root, "exit", "3")); exit.Code != 3 {
				t.Errorf("exit 3: %+v", exit)
			}
			p, r := output(t, h, spec(root, "term"), h.Start)
			line(t, r)
			p.Signal(syscall.SIGTERM)
			<-p.Done()
			if p.Exit().Code != 7 {
				t.Errorf("TERM handled: %+v", p.Exit())
			}
			p, _ = output(t, h, spec(root, "sleep"), h.Start)
			p.Signal(syscall.SIGKILL)
			<-p.Done()
			if e := p.Exit(); e.Code != 137 || e.Signal != syscall.SIGKILL || e.OOMKilled {
				t.Errorf("KILL: %+v", e)
			}
			if err := p.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("a signal after the end: %v", err)
			}
		})
	}
}

func TestAProgramThatCannotRunIsTheContainersFault(t *testing.T) {
	for _, mode := range []Mode{Isolated, Plain} {
		t.Run(string(mode), func(t *testing.T) {
			h := openHost(t, mode, 1)
			root := testRootfs(t)
			os.WriteFile(filepath.Join(root, "text"), []byte("x"), 0o644)
			os.WriteFile(filepath.Join(root, "broken"), []byte("not a program"), 0o755)
			for name, want := range map[string]string{
				"nothing": `exec: "nothing": executable file not found in $PATH`, "/nothing": "no such file",
				"/text": "permission denied", "/etc": "is a directory", "/broken": "exec format error", "": "no command",
			} {
				s := spec(root)
				s.Args = []string{name}
				_, err := h.Start(s)
				var start *StartError
				if !errors.As(err, &start) || !strings.Contains(err.Error(), want) {
					t.Errorf("%q: got %v, want %q", name, err, want)
				}
			}
			if exit, _ := runToEnd(t, h, spec(root, "exit", "0")); exit.Code != 0 {
				t.Errorf("after the failures: %+v", exit)
			}
		})
	}
}

func TestAMemoryLimitKillsAndSaysSo(t *testing.T) {
	h := openHost(t, Isolated, 1)
	if h.Ability().Limits == "" {
		t.Skip("needs control groups that can be written")
	}
	s := spec(testRootfs(t), "bloat")
	g, err := h.Limit(s.ID, Limits{MemoryBytes: 64 << 20, MilliCPU: 900, CPUShares: 512})
	if err != nil {
		t.Fatal(err)
	}
	s.Cgroup = g
	exit, _ := runToEnd(t, h, s)
	g.Remove()
	if exit.Code != 137 || !exit.OOMKilled {
		t.Fatalf("got %+v", exit)
	}
}

func TestExecRunsInsideTheContainer(t *testing.T) {
	h := openHost(t, Isolated, 1)
	root := testRootfs(t)
	p, _ := output(t, h, spec(root, "sleep"), h.Start)
	in := spec(root, "who")
	in.Args[0] = "app"
	in.User.UID = 42
	e, r := output(t, h, in, func(s *Spec) (*Process, error) { return h.Exec(p, s) })
	out, _ := io.ReadAll(r)
	<-e.Done()
	uid := "uid=42"
	if h.Ability().Rootless {
		uid = "uid=0"
	}
	if got := string(out); e.Exit().Code != 0 || !strings.Contains(got, uid) || !strings.Contains(got, "host=pod") || strings.Contains(got, "pid=1 ") {
		t.Errorf("got %q, %+v", got, e.Exit())
	}
	p.Signal(syscall.SIGKILL)
	<-p.Done()
	if _, err := h.Exec(p, in); err == nil {
		t.Error("exec in an ended container")
	}
}

func TestChildrenEndWithTheirProgram(t *testing.T) {
	for _, mode := range []Mode{Isolated, Plain} {
		t.Run(string(mode), func(t *testing.T) {
			h := openHost(t, mode, 1)
			p, r := output(t, h, spec(testRootfs(t), "family"), h.Start)
			line(t, r)
			p.Signal(syscall.SIGKILL)
			<-p.Done()
			// The child holds the pipe's other end: its end is the end of the file.
			if _, err := io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestACrashedHostsProcessesAreEndedByTheNext(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "run"), 0o755)
	os.MkdirAll(filepath.Join(dir, "containers", "old", "upper"), 0o755)
	cmd := exec.Command("/proc/self/exe", "container", "sleep")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start, err := startTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "run", "a"), fmt.Appendf(nil, "%d %d", cmd.Process.Pid, start), 0o600)
	os.WriteFile(filepath.Join(dir, "run", "b"), fmt.Appendf(nil, "%d %d", os.Getpid(), 1), 0o600) // a number that was given anew
	os.WriteFile(filepath.Join(dir, "run", "c"), []byte("torn"), 0o600)
	h, err := Open(Options{Dir: dir, Mode: Plain})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the old process: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "containers")); len(left) != 0 {
		t.Errorf("remains: %v", left)
	}
	if _, err := Open(Options{Dir: dir, Mode: Plain}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second node in one folder: %v", err)
	}
}

func TestAllOfThisWorksForAnOrdinaryUserInAUserNamespace(t *testing.T) {
	if inUserNamespace() || os.Geteuid() != 0 {
		t.Skip("is already run by an ordinary user")
	}
	dir, err := os.MkdirTemp("", "ebb-rootless-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	testRootfs(t) // skips where the binary is not static
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "test")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--net", program, "-test.v", "-test.timeout=60s", "-test.run=Container|Volumes|Pods|Exits|Exec|Children")
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + dir, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || strings.Contains(string(out), "unshare: ") {
		t.Skipf("user namespaces are not allowed here: %s", out)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestPodsHaveAddressesAndOneEach") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func BenchmarkStart(b *testing.B) {
	h := openHost(b, Isolated, 8)
	root := testRootfs(b)
	n, err := h.Network()
	if err != nil {
		b.Fatal(err)
	}
	defer h.ReturnNetwork(n, true)
	for b.Loop() {
		s := spec(root, "exit", "0")
		s.Network = n
		began := time.Now()
		p, err := h.Start(s)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Microseconds()), "last-µs")
		b.StopTimer()
		<-p.Done()
		b.StartTimer()
	}
}

func BenchmarkNetwork(b *testing.B) {
	h := openHost(b, Isolated, -1)
	for b.Loop() {
		n, err := h.Network()
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		h.ReturnNetwork(n, false)
		b.StartTimer()
	}
}

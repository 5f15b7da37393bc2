package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// platform is what one `ebb up` started, and the ways to it.
type platform struct {
	repo, bin, state string
	port             int
	// user runs the platform's commands; nil is whoever runs the tests.
	user *syscall.Credential
}

func newPlatform(repo, bin, state string, port int) *platform {
	return &platform{repo: repo, bin: bin, state: state, port: port}
}

// ebb runs a command of the binary on this platform.
func (p *platform) ebb(command string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(p.bin, "ebb"), append([]string{command, "--state", p.state}, args...)...)
	if p.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
		cmd.Dir, cmd.Env = filepath.Dir(p.state), append(os.Environ(), "HOME="+filepath.Dir(p.state))
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// kubectlCommand is `ebb kubectl` before it is started.
func (p *platform) kubectlCommand(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, filepath.Join(p.bin, "ebb"), append([]string{"kubectl", "--state", p.state}, args...)...)
}

// kubectl returns what the command printed, warnings included.
func (p *platform) kubectl(args ...string) (string, error) {
	out, err := p.kubectlCommand(context.Background(), args...).CombinedOutput()
	return string(out), err
}

// component is a row of `ebb status -o json`.
type component struct {
	Name     string
	State    string
	PID      int
	Restarts int
	// UptimeSeconds is how long it has run.
	UptimeSeconds float64
}

// log is all that a component has written.
func (p *platform) log(component string) (string, error) {
	out, err := p.ebb("logs", "--tail=-1", component)
	if err != nil {
		return "", fmt.Errorf("log of %s: %w: %s", component, err, out)
	}
	return out, nil
}

// logged waits until a line of a component's log has all of some texts.
func (p *platform) logged(t *testing.T, within time.Duration, component string, texts ...string) {
	t.Helper()
	eventually(t, within, fmt.Sprintf("the log of %s to have a line with %q", component, texts), func() error {
		out, err := p.log(component)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
				return nil
			}
		}
		return errors.New("it has none")
	})
}

func (p *platform) component(name string) (component, error) {
	out, err := exec.Command(filepath.Join(p.bin, "ebb"), "status", "--state", p.state, "-o", "json").Output()
	if err != nil && len(out) == 0 {
		return component{}, err
	}
	var status struct{ Components []component }
	if err := json.Unmarshal(out, &status); err != nil {
		return component{}, fmt.Errorf("ebb status: %w", err)
	}
	for _, c := range status.Components {
		if c.Name == name {
			return c, nil
		}
	}
	return component{}, fmt.Errorf("ebb status shows no %s", name)
}

// held is how many requests wait for a revision; the debug page alone shows it.
func (p *platform) held(revision string) (int, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(p.state, "run", "debug.sock"))
		},
	}}
	response, err := client.Get("http://debug/debug/hold")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	held := map[string]int{}
	if err := json.NewDecoder(response.Body).Decode(&held); err != nil {
		return 0, err
	}
	return held[revision], nil
}

// space is a namespace of a platform for one test.
type space struct {
	*platform
	t    *testing.T
	name string
}

// namespace makes one and takes it away with the test. If the test fails, what is in it is shown.
func (p *platform) namespace(t *testing.T) *space {
	t.Helper()
	s := &space{platform: p, t: t, name: fmt.Sprintf("t%d", time.Now().UnixNano()%1e9)}
	s.must("create", "namespace", s.name)
	t.Cleanup(func() {
		if t.Failed() {
			s.describe()
		}
		p.kubectl("delete", "namespace", s.name, "--wait=false")
	})
	return s
}

// inDefault uses the namespace default, where the guide's commands are typed.
func (p *platform) inDefault(t *testing.T) *space {
	s := &space{platform: p, t: t, name: "default"}
	t.Cleanup(func() {
		if t.Failed() {
			s.describe()
		}
		p.kubectl("delete", "ksvc", "--all", "-n", "default")
	})
	return s
}

func (s *space) describe() {
	for _, what := range []string{"ksvc,revisions,podautoscalers,deployments,pods", "events"} {
		out, _ := s.kubectl("get", what, "-n", s.name, "-o", "wide")
		s.t.Logf("%s:\n%s", what, out)
	}
}

// try runs kubectl in the namespace.
func (s *space) try(args ...string) (string, error) {
	return s.kubectl(append([]string{"-n", s.name}, args...)...)
}

// must fails the test if the command does.
func (s *space) must(args ...string) string {
	s.t.Helper()
	command := s.kubectlCommand(s.t.Context(), append([]string{"-n", s.name}, args...)...)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Run(); err != nil {
		s.t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), complaints.String())
	}
	return strings.TrimSpace(out.String())
}

// path is `-o jsonpath` of one object.
func (s *space) path(object, expression string) string {
	s.t.Helper()
	return s.must("get", object, "-o", "jsonpath="+expression)
}

// tryApply gives kubectl a manifest on its standard input.
func (s *space) tryApply(manifest string) (string, error) {
	command := s.kubectlCommand(context.Background(), "-n", s.name, "apply", "-f", "-")
	command.Stdin = strings.NewReader(manifest)
	out, err := command.CombinedOutput()
	return string(out), err
}

func (s *space) apply(manifest string) {
	s.t.Helper()
	if out, err := s.tryApply(manifest); err != nil {
		s.t.Fatalf("kubectl apply: %v\n%s\n%s", err, out, manifest)
	}
}

// ready waits, as users do, for services to be Ready.
func (s *space) ready(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.must("wait", "ksvc/"+name, "--for=condition=Ready", "--timeout=60s")
	}
}

// serve applies an app and waits for it.
func (s *space) serve(a app) {
	s.t.Helper()
	s.apply(a.manifest())
	s.ready(a.name)
}

// url is the address that a service's status gives.
func (s *space) url(service string) string {
	s.t.Helper()
	return s.path("ksvc/"+service, "{.status.url}")
}

// replicas are the names of a service's pods that are not on their way out.
func (s *space) replicas(service string) []string {
	s.t.Helper()
	out := s.must("get", "pods", "-l", "serving.knative.dev/service="+service,
		"-o", `go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}`)
	return strings.Fields(out)
}

// asleep waits until a service has no pod.
func (s *space) asleep(service string) {
	s.t.Helper()
	eventually(s.t, time.Minute, service+" sleeps", func() error {
		if pods := s.replicas(service); len(pods) > 0 {
			return fmt.Errorf("pods %v", pods)
		}
		return nil
	})
}

// message is the message of a service's condition.
func (s *space) message(service, condition string) string {
	s.t.Helper()
	return s.path("ksvc/"+service, fmt.Sprintf(`{.status.conditions[?(@.type==%q)].message}`, condition))
}

// eventually asks until there is no error any more; the last one fails the test when the time is over.
func eventually(t *testing.T, within time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(50 * time.Millisecond) // a look at the world between two questions, no ordering
	}
}

// guideFile is a manifest of the guide, or the reason to skip.
func guideFile(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("EBB_GUIDE")
	if folder == "" {
		folder = filepath.Join(shared.repo, "..", "shared", "guide")
	}
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Skipf("the guide's manifests are not here (set EBB_GUIDE): %v", err)
	}
	return string(data)
}

// app is a Service as a test needs it.
type app struct {
	name, revision string
	image          string
	command        []string
	labels         map[string]string
	annotations    map[string]string
	env            map[string]string
	port           map[string]any
	spec           map[string]any // of the revision, beside its container
	traffic        []map[string]any
}

// manifest is the Service as JSON, which is YAML.
func (a app) manifest() string {
	image := a.image
	if image == "" {
		image = "ebb.dev/testapp"
	}
	container := map[string]any{"image": image}
	if a.command != nil {
		container["command"] = a.command
	}
	if a.port != nil {
		container["ports"] = []any{a.port}
	}
	var env []any
	for name, value := range a.env {
		env = append(env, map[string]any{"name": name, "value": value})
	}
	container["env"] = env
	spec := map[string]any{"containers": []any{container}}
	for key, value := range a.spec {
		spec[key] = value
	}
	meta := map[string]any{"annotations": a.annotations}
	if a.revision != "" {
		meta["name"] = a.revision
	}
	service := map[string]any{"template": map[string]any{"metadata": meta, "spec": spec}}
	if a.traffic != nil {
		service["traffic"] = a.traffic
	}
	out, err := json.Marshal(map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"name": a.name, "labels": a.labels}, "spec": service,
	})
	if err != nil {
		panic(err) // maps of strings
	}
	return string(out)
}

// asleepAtFirst makes a revision begin with no replica, and go back to none soon.
func asleepAtFirst(more ...string) map[string]string {
	out := map[string]string{"autoscaling.knative.dev/initial-scale": "0", "autoscaling.knative.dev/window": "6s"}
	for i := 0; i+1 < len(more); i += 2 {
		out["autoscaling.knative.dev/"+more[i]] = more[i+1]
	}
	return out
}

// readAll reads an answer to its end.
func readAll(response *http.Response) (string, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

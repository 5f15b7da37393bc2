package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// following is a command whose output is read as it comes.
type following struct {
	mu    sync.Mutex
	lines []string
}

// follow starts kubectl and ends it with the test.
func (s *space) follow(args ...string) *following {
	s.t.Helper()
	command := s.kubectlCommand(context.Background(), append([]string{"-n", s.name}, args...)...)
	output, input, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	command.Stdout, command.Stderr = input, input
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	input.Close()
	f, done := &following{}, make(chan struct{})
	go func() {
		defer close(done)
		scanner := bufio.NewScanner(output)
		for scanner.Scan() {
			f.mu.Lock()
			f.lines = append(f.lines, scanner.Text())
			f.mu.Unlock()
		}
	}()
	s.t.Cleanup(func() {
		command.Process.Kill()
		var killed *exec.ExitError
		if err := command.Wait(); err != nil && !errors.As(err, &killed) {
			s.t.Error(err)
		}
		<-done
		output.Close()
	})
	return f
}

// shows waits for a line and returns the matches of pattern in it.
func (f *following) shows(t *testing.T, pattern string) []string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	var found []string
	eventually(t, 30*time.Second, "a line like "+pattern, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, line := range f.lines {
			if found = expression.FindStringSubmatch(line); found != nil {
				return nil
			}
		}
		return fmt.Errorf("lines %q", f.lines)
	})
	return found
}

func TestKubectlFollowsLogsAndForwardsPorts(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.serve(app{name: "a", annotations: map[string]string{"autoscaling.knative.dev/min-scale": "1"}})
	pod := s.replicas("a")[0]
	// A Service is Ready once it answers, which Kubernetes may learn of its pod only later.
	s.must("wait", "pod/"+pod, "--for=condition=Ready", "--timeout=60s")
	logs := s.follow("logs", "-f", pod, "-c", "user-container")
	logs.shows(t, "listening on :8080")
	forward := s.follow("port-forward", "pod/"+pod, ":8080")
	port := forward.shows(t, `Forwarding from 127\.0\.0\.1:(\d+) -> 8080`)[1]
	expect(t, "http://127.0.0.1:"+port, "Hello World!")
	s.must("delete", "ksvc", "a", "--wait=false")
	logs.shows(t, "SIGTERM with 0 requests under way")
}

func TestKubectlExecRunsInAPod(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.client()
	if got := s.must("exec", "client", "--", "/bin/sh", "-c", "echo $GREETING"); got != "good morning" {
		t.Errorf("%q", got)
	}
	command := s.kubectlCommand(t.Context(), "-n", s.name, "exec", "-i", "client", "--", "/bin/sh", "-c", "read line; echo got $line; exit 7")
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() { io.WriteString(input, "a line\n"); input.Close() }()
	out, err := command.Output()
	var exit *exec.ExitError
	if string(out) != "got a line\n" || !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestKubectlWatchesPatchesAndDescribes(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	watch := s.follow("get", "ksvc", "--watch")
	s.serve(app{name: "a"})
	watch.shows(t, `^a\s+http://a\.`+s.name+`\.localhost:\d+\s+a-00001\s+a-00001\s+True`)
	s.must("patch", "ksvc", "a", "--type", "json", "--patch",
		`[{"op":"add","path":"/spec/template/spec/containers/0/env","value":[{"name":"TARGET","value":"patched"}]}]`)
	watch.shows(t, `^a\s.*\sa-00002\s+a-00002\s+True`)
	becomes(t, s.url("a"), http.StatusOK, "Hello patched!")
	described := s.must("describe", "ksvc", "a")
	for _, want := range []string{`Latest Ready Revision Name: +a-00002`, `Type: +RoutesReady`, `Events:`} {
		if !regexp.MustCompile(want).MatchString(described) {
			t.Errorf("describe shows no %q:\n%s", want, described)
		}
	}
	// The children that people look at, by their short names.
	for _, kind := range []string{"cfg", "rev", "rt", "kpa", "king", "deployment", "endpointslice"} {
		if out := s.must("get", kind, "-o", "name"); out == "" {
			t.Errorf("kubectl get %s shows nothing", kind)
		}
	}
}

func TestRefusedManifestsNameTheFieldAndTheRemedy(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	split := func(a, b int) []map[string]any {
		return []map[string]any{{"revisionName": "a-1", "percent": a}, {"revisionName": "a-2", "percent": b}}
	}
	for name, c := range map[string]struct {
		app  app
		want []string
	}{
		"shares": {app{name: "a", traffic: split(80, 30)}, []string{"Service " + s.name + "/a", "spec.traffic", "110", "100"}},
		"concurrency": {
			app{name: "a", spec: map[string]any{"containerConcurrency": -1}},
			[]string{"spec.template.spec.containerConcurrency", "-1", "1000"},
		},
		"timeout":    {app{name: "a", spec: map[string]any{"timeoutSeconds": 100000}}, []string{"spec.template.spec.timeoutSeconds", "100000", "600"}},
		"annotation": {app{name: "a", annotations: asleepAtFirst("min-scale", "many")}, []string{"min-scale", "many"}},
		"field":      {app{name: "a", spec: map[string]any{"containerConcurency": 1}}, []string{"containerConcurency"}},
		"revision":   {app{name: "a", revision: "b-v1"}, []string{"spec.template.metadata.name", "a-"}},
		"mask":       {app{name: "a", spec: map[string]any{"hostNetwork": true}}, []string{"spec.template.spec.hostNetwork"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := s.tryApply(c.app.manifest())
			if err == nil {
				t.Fatalf("accepted: %s", out)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in: %s", want, out)
				}
			}
			t.Log(strings.TrimSpace(out))
		})
	}
}

func TestDeletedServiceIsNotFoundAndItsChildrenAreGone(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.serve(app{name: "a"})
	url := s.url("a")
	expect(t, url, "Hello World!")
	s.must("delete", "ksvc", "a")
	becomes(t, url, http.StatusNotFound, "")
	eventually(t, 40*time.Second, "no child is left", func() error {
		out := s.must("get", "cfg,rev,rt,kpa,king,deployment,replicaset,pod,service,endpointslice", "-o", "name")
		if out != "" {
			return errors.New(out)
		}
		return nil
	})
}

func TestServiceMadeAgainUnderItsNameIsServed(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	for _, target := range []string{"first", "second", "third", "fourth"} {
		s.serve(app{name: "a", env: map[string]string{"TARGET": target}})
		becomes(t, s.url("a"), http.StatusOK, "Hello "+target+"!")
		s.must("delete", "ksvc", "a")
	}
}

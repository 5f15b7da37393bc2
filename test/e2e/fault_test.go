package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kills is how often a thing is killed.
func kills() int {
	if long() {
		return 20
	}
	return 2
}

// kill ends one process of ours, by its number.
func kill(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("pid %d", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// killed kills a component of `ebb status` and waits until the next one is ready. It returns when it was killed.
func (p *platform) killed(t *testing.T, name string) time.Time {
	t.Helper()
	at := p.struck(t, name)
	p.back(t, name)
	return at
}

func (p *platform) struck(t *testing.T, name string) time.Time {
	t.Helper()
	// One that is on its way back is not killed. Crashes in a row are answered with longer and longer pauses; after many kills, wait
	// until it has run long enough to be forgiven.
	before := p.back(t, name)
	if long() {
		eventually(t, 2*time.Minute, name+" has run for a minute", func() error {
			now, err := p.component(name)
			if err == nil && now.UptimeSeconds < 61 {
				err = fmt.Errorf("%.0f s", now.UptimeSeconds)
			}
			return err
		})
	}
	kill(t, before.PID)
	p.noticed(t, name, before)
	return time.Now()
}

// noticed waits until `ebb status` knows that a component which was killed is gone.
func (p *platform) noticed(t *testing.T, name string, before component) {
	t.Helper()
	eventually(t, 10*time.Second, name+" is noticed to be gone", func() error {
		now, err := p.component(name)
		if err == nil && now.PID == before.PID && now.State == "ready" {
			return fmt.Errorf("%+v", now)
		}
		return err
	})
}

func (p *platform) back(t *testing.T, name string) component {
	t.Helper()
	var c component
	eventually(t, time.Minute, name+" is back", func() (err error) {
		if c, err = p.component(name); err == nil && c.State != "ready" {
			err = fmt.Errorf("%+v", c)
		}
		return err
	})
	return c
}

// envoysOf finds the Envoys that an agent runs: they are its children.
func envoysOf(t *testing.T, agent int) []int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", agent))
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// steady is a service with two replicas, under load.
func (s *space) steady(rate int) *load {
	s.t.Helper()
	s.serve(app{name: "a", annotations: map[string]string{"autoscaling.knative.dev/min-scale": "2"}})
	s.twoReplicas(30 * time.Second)
	l := startLoad(s.t, s.url("a"), rate)
	l.answered(s.t, rate)
	return l
}

// twoReplicas waits until a has two that are ready.
func (s *space) twoReplicas(within time.Duration) {
	s.t.Helper()
	eventually(s.t, within, "two replicas", func() error {
		if got := s.path("deployment/a-00001-deployment", "{.status.readyReplicas}"); got != "2" {
			return fmt.Errorf("%s are ready", got)
		}
		return nil
	})
}

// restarted are the pods with a container that was started again.
func (s *space) restarted() []string {
	s.t.Helper()
	return strings.Fields(s.must("get", "pods", "-o",
		`go-template={{range .items}}{{$pod := .metadata.name}}{{range .status.containerStatuses}}{{if .restartCount}}{{$pod}} {{end}}{{end}}{{end}}`))
}

// killEnvoy kills an Envoy under load, which is to be back in two seconds. Where many kills follow each other it then waits until the next one is
// started again at once too: an agent answers deaths in a row with longer and longer pauses, and forgives an Envoy that has run for ten seconds.
func killEnvoy(t *testing.T, l *load, pid int) {
	t.Helper()
	kill(t, pid)
	struck := time.Now()
	outage(t, l, struck, 2*time.Second)
	if !long() {
		return
	}
	eventually(t, time.Minute, "the Envoy that came back has run for ten seconds", func() error {
		if since := time.Since(struck); since < 13*time.Second {
			return fmt.Errorf("%s after the kill", since)
		}
		return nil
	})
}

// outage fails the test if requests went on failing for longer than bound after the kill.
func outage(t *testing.T, l *load, struck time.Time, bound time.Duration) {
	t.Helper()
	l.answered(t, 50)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lastFailure.Before(struck) {
		return
	}
	lasted := l.lastFailure.Sub(struck)
	t.Logf("requests failed until %s after it was gone; so far %d of %d: %v", lasted.Round(time.Millisecond), l.failures(), l.sent, l.failed)
	if lasted > bound {
		t.Errorf("the outage lasted %s, at most %s is promised", lasted, bound)
	}
}

func TestFaultKilledControlPlaneFailsNoRequest(t *testing.T) {
	s := shared.namespace(t)
	l := s.steady(50)
	for n := range kills() {
		// Something cold is asked for while there is no control plane: it is answered once there is one.
		url := s.cold(app{name: fmt.Sprintf("cold-%d", n)})
		s.struck(t, "control-plane")
		got, err := get(t.Context(), url)
		if err != nil || got.code != http.StatusOK {
			t.Errorf("cold, while the control plane was gone: %v %d %q", err, got.code, got.body)
		}
		t.Logf("cold while the control plane was gone: %d after %s", got.code, got.took.Round(time.Millisecond))
		s.back(t, "control-plane")
		l.answered(t, 50)
	}
	c := l.stop()
	t.Log(c)
	if c.failures() > 0 {
		t.Errorf("%d of %d failed", c.failures(), c.sent)
	}
}

func TestFaultHeldRequestsSurviveAKilledControlPlane(t *testing.T) {
	s := shared.namespace(t)
	for n := range kills() {
		name := fmt.Sprintf("a-%d", n)
		url := s.cold(app{name: name, env: map[string]string{"START_DELAY": "3s"}})
		c := newTally()
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { c.count(get(t.Context(), url)) })
		}
		s.holds(s.name+"/"+name+"-00001", 20)
		s.killed(t, "control-plane")
		group.Wait()
		t.Log(c)
		if c.failures() > 0 {
			t.Errorf("%d of %d held requests failed: %v", c.failures(), c.sent, c.failed)
		}
	}
}

func TestFaultKilledGatewayIsBackInSeconds(t *testing.T) {
	s := shared.namespace(t)
	l := s.steady(50)
	for range kills() {
		outage(t, l, s.killed(t, "gateway"), 5*time.Second)
	}
	t.Log(l.stop())
}

func TestFaultKilledGatewayEnvoyIsBackInASecond(t *testing.T) {
	s := shared.namespace(t)
	l := s.steady(50)
	agent, err := s.component("gateway")
	if err != nil {
		t.Fatal(err)
	}
	for range kills() {
		envoys := envoysOf(t, agent.PID)
		if len(envoys) != 1 {
			t.Fatalf("the gateway's agent has the children %v", envoys)
		}
		killEnvoy(t, l, envoys[0])
	}
	t.Log(l.stop())
}

func TestFaultKilledNodeProxiesAreBackInSeconds(t *testing.T) {
	// The certificate of who is gone is nothing that a new proxy waits for: nobody signs it any more.
	gone := shared.namespace(t)
	gone.serve(app{name: "a", annotations: map[string]string{"autoscaling.knative.dev/min-scale": "2"}})
	gone.twoReplicas(30 * time.Second)
	gone.must("delete", "ksvc", "a", "--cascade=foreground")
	s := shared.namespace(t)
	l := s.steady(50)
	for range kills() {
		outage(t, l, s.killed(t, "node"), 5*time.Second)
	}
	t.Log(l.stop())
}

func TestFaultOneKilledNodeProxyIsBackInASecond(t *testing.T) {
	s := shared.namespace(t)
	l := s.steady(50)
	agent, err := s.component("node")
	if err != nil {
		t.Fatal(err)
	}
	for n := range kills() {
		envoys := envoysOf(t, agent.PID)
		if len(envoys) == 0 {
			t.Fatal("the node's agent has no children")
		}
		killEnvoy(t, l, envoys[n%len(envoys)])
	}
	t.Log(l.stop())
}

func TestFaultDeletedReplicaFailsNoRequest(t *testing.T) {
	s := shared.namespace(t)
	l := s.steady(50)
	for range kills() {
		s.must("delete", "pod", s.replicas("a")[0])
		s.must("rollout", "status", "deployment/a-00001-deployment", "--timeout=60s")
		l.answered(t, 50)
	}
	c := l.stop()
	t.Log(c)
	if c.failures() > 0 {
		t.Errorf("%d of %d failed", c.failures(), c.sent)
	}
}

func TestFaultCrashedReplicaTakesOnlyItsOwnRequestAlong(t *testing.T) {
	s := shared.namespace(t)
	l := s.steady(50)
	for range kills() {
		// The request that makes it crash is in flight on it, and is lost.
		if got, err := get(context.WithoutCancel(t.Context()), s.url("a")+"/crash"); err == nil && got.code == http.StatusOK {
			t.Errorf("the crash was answered with %d %q", got.code, got.body)
		}
		l.answered(t, 50)
		s.twoReplicas(2 * time.Minute)
		// One that crashes again and again is kept down for minutes by Kubernetes: each crash is to be another one's.
		for _, pod := range s.restarted() {
			s.must("delete", "pod", pod)
		}
		s.twoReplicas(30 * time.Second)
	}
	c := l.stop()
	t.Log(c)
	// Requests of the moment may have been in the app beside the one that crashed it: one may be, at 50 a second and less than 1 ms each.
	if c.failures() > kills() {
		t.Errorf("%d of %d failed", c.failures(), c.sent)
	}
}

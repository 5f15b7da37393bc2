package light

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/deploy/local/light/sandbox"
	"ebb.dev/ebb/test/freeport"
)

func fetch(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestPodsRunAsUnderAKubelet(t *testing.T) {
	c := startKube(t)
	c.store = testImage(t, "test:v1")
	c.runNode(t, sandbox.Isolated)
	for name, test := range map[string]func(*testing.T){
		"serves, logs, execs, forwards, drains and ends": c.testLife,
		"environment, volumes and their updates":         c.testInputs,
		"exits, restarts and messages":                   c.testExits,
		"probes":                                         c.testProbes,
		"init containers and sidecars":                   c.testInit,
		"what cannot be had is named":                    c.testMissing,
		"what does not fit is refused":                   c.testRefused,
		"memory limits":                                  c.testMemory,
	} {
		t.Run(name, test)
	}
	t.Run("starts are fast", c.testSpeed)
}

func (c *testCluster) testLife(t *testing.T) {
	p := testPod("life", "serve")
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "TARGET", Value: "you"}}
	p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/prestop", Port: intstr.FromInt(8080)}}}
	c.create(t, p)
	got := c.until(t, "life", "readiness", isReady)
	s := got.Status.ContainerStatuses[0]
	if got.Spec.NodeName != "light-test" || got.Status.Phase != corev1.PodRunning || !s.Ready || s.Started == nil || !*s.Started || s.State.Running == nil ||
		!strings.HasPrefix(s.ImageID, "docker.io/library/test@sha256:") || s.ContainerID == "" || got.Status.StartTime == nil {
		t.Errorf("status %+v", got.Status)
	}
	wait(t, 5*time.Second, "an answer", func() error {
		body, err := fetch("http://" + got.Status.PodIP + ":8080/x")
		if err == nil && body != "hello you" {
			err = fmt.Errorf("got %q", body)
		}
		return err
	})
	if out, err := c.kubectl(t, "", "logs", "life", "--tail=1"); err != nil || out != "asked for /x\n" {
		t.Errorf("logs: %q, %v", out, err)
	}
	if out, err := c.kubectl(t, "piped", "exec", "-i", "life", "--", "/app/test", "app", "cat"); err != nil || out != "piped" {
		t.Errorf("exec: %q, %v", out, err)
	}
	if out, err := c.kubectl(t, "", "exec", "life", "--", "/app/test", "app", "exit", "3"); err == nil || !strings.Contains(out, "exit code 3") {
		t.Errorf("exec that fails: %q, %v", out, err)
	}
	c.testForward(t)
	follow, ended := c.follow(t, "life")
	if err := c.client.CoreV1().Pods("default").Delete(t.Context(), "life", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wait(t, 15*time.Second, "the end", func() error {
		_, err := c.client.CoreV1().Pods("default").Get(t.Context(), "life", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("still there: %v", err)
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.drained, "life") || !slices.ContainsFunc(c.stopped, func(s PodStopped) bool { return s.Name == "life" }) ||
		!slices.ContainsFunc(c.started, func(s PodStarted) bool { return s.Name == "life" && s.IP == got.Status.PodIP }) {
		t.Errorf("hooks: started %v drained %v stopped %v", c.started, c.drained, c.stopped)
	}
	<-ended
	if rest, err := io.ReadAll(follow); err != nil || !strings.Contains(string(rest), "asked for /prestop\nterminated\n") {
		t.Errorf("logs -f: %q, %v", rest, err)
	}
}

func (c *testCluster) testForward(t *testing.T) {
	port := freeport.Must(t)
	out := make(chan string, 1)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		o, _ := c.kubectl(t, "", "port-forward", "life", fmt.Sprintf("%d:8080", port))
		out <- o
	}()
	wait(t, 10*time.Second, "the forwarded port", func() error {
		select {
		case o := <-out:
			t.Fatalf("port-forward ended: %s", o)
		default:
		}
		body, err := fetch(fmt.Sprintf("http://127.0.0.1:%d/forwarded", port))
		if err == nil && body != "hello you" {
			err = fmt.Errorf("got %q", body)
		}
		return err
	})
}

func (c *testCluster) testInputs(t *testing.T) {
	ctx := t.Context()
	cms := c.client.CoreV1().ConfigMaps("default")
	if _, err := cms.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm"}, Data: map[string]string{"key": "one"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := testPod("inputs", "serve")
	main := &p.Spec.Containers[0]
	main.Env = []corev1.EnvVar{{Name: "TARGET", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "key"}}}}
	main.VolumeMounts = []corev1.VolumeMount{{Name: "cm", MountPath: "/etc/config"}}
	p.Spec.Volumes = []corev1.Volume{{Name: "cm", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}}}
	c.create(t, p)
	ip := c.until(t, "inputs", "readiness", isReady).Status.PodIP
	file := func(name, want string) {
		t.Helper()
		wait(t, 10*time.Second, name, func() error {
			body, err := fetch("http://" + ip + ":8080/file?name=" + name)
			if err == nil && !strings.Contains(body, want) {
				err = fmt.Errorf("got %q", body)
			}
			return err
		})
	}
	file("/etc/config/key", "one<nil>")
	file("/var/run/secrets/kubernetes.io/serviceaccount/namespace", "default<nil>")
	file("/var/run/secrets/kubernetes.io/serviceaccount/token", "ey")
	file("/etc/hosts", ip+"\tinputs")
	if body, _ := fetch("http://" + ip + ":8080/"); body != "hello one" {
		t.Errorf("env: %q", body)
	}
	if _, err := cms.Update(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm"}, Data: map[string]string{"key": "two"}}, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	file("/etc/config/key", "two<nil>")
}

func (c *testCluster) testExits(t *testing.T) {
	for name, policy := range map[string]corev1.RestartPolicy{"exit-never": corev1.RestartPolicyNever, "exit-always": corev1.RestartPolicyAlways} {
		p := testPod(name, "exit", "3")
		p.Spec.RestartPolicy = policy
		c.create(t, p)
	}
	ok := testPod("exit-ok", "exit", "0")
	ok.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	c.create(t, ok)
	bad := testPod("exit-noprogram")
	bad.Spec.Containers[0].Command = []string{"nothing"}
	c.create(t, bad)
	got := c.until(t, "exit-never", "failure", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if s := got.Status.ContainerStatuses[0].State.Terminated; s == nil || s.ExitCode != 3 || s.Reason != "Error" || s.Message != "bye" {
		t.Errorf("never: %+v", got.Status.ContainerStatuses)
	}
	if out, err := c.kubectl(t, "", "logs", "exit-never"); err != nil || out != "exiting with 3\n" {
		t.Errorf("logs of a failed pod: %q %v", out, err)
	}
	got = c.until(t, "exit-ok", "success", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	if s := got.Status.ContainerStatuses[0].State.Terminated; s == nil || s.Reason != "Completed" {
		t.Errorf("ok: %+v", got.Status.ContainerStatuses)
	}
	crashing := func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CrashLoopBackOff" && s[0].RestartCount >= 1
	}
	got = c.until(t, "exit-always", "back-off", crashing)
	if s := got.Status.ContainerStatuses[0]; s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ExitCode != 3 || isReady(got) {
		t.Errorf("always: %+v", s)
	}
	if out, err := c.kubectl(t, "", "logs", "exit-always", "--previous"); err != nil || out != "exiting with 3\n" {
		t.Errorf("logs --previous: %q %v", out, err)
	}
	got = c.until(t, "exit-noprogram", "back-off", crashing)
	if s := got.Status.ContainerStatuses[0].LastTerminationState.Terminated; s == nil || s.Reason != "StartError" || s.ExitCode != 128 ||
		!strings.Contains(s.Message, `exec: "nothing": executable file not found in $PATH`) {
		t.Errorf("no program: %+v", s)
	}
}

func (c *testCluster) testProbes(t *testing.T) {
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt(8080)}}, PeriodSeconds: 1, FailureThreshold: 2}
	}
	late := testPod("probe-late", "serve", "1s")
	late.Spec.Containers[0].ReadinessProbe = probe("/ready")
	c.create(t, late)
	sick := testPod("probe-sick", "serve")
	sick.Spec.Containers[0].LivenessProbe = probe("/never")
	sick.Spec.TerminationGracePeriodSeconds = ptr.To[int64](1)
	c.create(t, sick)
	slow := testPod("probe-slow", "serve", "1s")
	slow.Spec.Containers[0].StartupProbe = probe("/ready")
	slow.Spec.Containers[0].StartupProbe.FailureThreshold = 10
	c.create(t, slow)
	got := c.until(t, "probe-late", "start", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	if isReady(got) || got.Status.PodIP == "" {
		t.Errorf("ready before its probe: %+v", got.Status)
	}
	c.until(t, "probe-late", "readiness", isReady)
	c.until(t, "probe-slow", "readiness", isReady)
	c.until(t, "probe-sick", "restart", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].RestartCount >= 1
	})
}

func (c *testCluster) testInit(t *testing.T) {
	p := testPod("init", "serve")
	always := corev1.ContainerRestartPolicyAlways
	p.Spec.InitContainers = []corev1.Container{
		{Name: "first", Image: "test:v1", Args: []string{"env"}},
		{Name: "side", Image: "test:v1", Command: []string{"/app/test", "app", "cat"}, Stdin: true, RestartPolicy: &always},
	}
	c.create(t, p)
	got := c.until(t, "init", "readiness", isReady)
	if s := got.Status.InitContainerStatuses; len(s) != 2 || s[0].State.Terminated == nil || s[1].State.Running == nil || !isTrue(got.Status.Conditions, corev1.PodInitialized) {
		t.Errorf("init: %+v", s)
	}
	bad := testPod("init-bad", "serve")
	bad.Spec.InitContainers = []corev1.Container{{Name: "first", Image: "test:v1", Args: []string{"exit", "1"}}}
	bad.Spec.RestartPolicy = corev1.RestartPolicyNever
	c.create(t, bad)
	c.until(t, "init-bad", "failure", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
}

func (c *testCluster) testMissing(t *testing.T) {
	waiting := func(reason, message string) func(*corev1.Pod) bool {
		return func(p *corev1.Pod) bool {
			s := p.Status.ContainerStatuses
			return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == reason && strings.Contains(s[0].State.Waiting.Message, message)
		}
	}
	noImage := testPod("no-image")
	noImage.Spec.Containers[0].Image = "shop:v4"
	c.create(t, noImage)
	noSecret := testPod("no-secret")
	noSecret.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "X", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "gone"}, Key: "k"}}}}
	c.create(t, noSecret)
	c.until(t, "no-image", "ErrImagePull", func(p *corev1.Pod) bool {
		return waiting("ErrImagePull", "no registry is in reach; try: ebb image build ./shop --name shop:v4")(p) || waiting("ImagePullBackOff", "shop:v4")(p)
	})
	c.until(t, "no-secret", "CreateContainerConfigError", waiting("CreateContainerConfigError", `secret "gone" not found`))
	wait(t, 10*time.Second, "events", func() error {
		events, err := c.client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=no-secret"})
		if err == nil && !slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.Reason == "Failed" && e.Message == `Error: secret "gone" not found`
		}) {
			err = fmt.Errorf("%d events, none says so", len(events.Items))
		}
		return err
	})
}

func (c *testCluster) testRefused(t *testing.T) {
	for name, change := range map[string]func(*corev1.PodSpec){
		"refused-selector": func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"gpu": "yes"} },
		"refused-cpu": func(s *corev1.PodSpec) {
			s.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1000")}
		},
	} {
		p := testPod(name, "serve")
		change(&p.Spec)
		c.create(t, p)
		c.until(t, name, "refusal", func(p *corev1.Pod) bool {
			return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable && strings.HasPrefix(c.Message, "0/1 nodes are available")
			})
		})
	}
}

func (c *testCluster) testMemory(t *testing.T) {
	if c.info.Ability.Limits == "" {
		t.Skip("needs control groups that can be written")
	}
	p := testPod("limited", "serve")
	p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi"), corev1.ResourceCPU: resource.MustParse("500m")}
	c.create(t, p)
	c.until(t, "limited", "readiness", isReady)
}

// testSpeed measures from the pod's creation (the API server's answer) to the program, one at a time and in a burst.
func (c *testCluster) testSpeed(t *testing.T) {
	find := func(uid string) time.Time {
		var at time.Time
		wait(t, 20*time.Second, "a start", func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, s := range c.started {
				if s.UID == uid {
					at = s.At
					return nil
				}
			}
			return fmt.Errorf("none yet")
		})
		return at
	}
	var took []time.Duration
	for i := range 10 {
		p := testPod(fmt.Sprintf("speed-%d", i), "serve")
		p.Spec.AutomountServiceAccountToken = ptr.To(true)
		sent := time.Now()
		got := c.create(t, p)
		took = append(took, find(string(got.UID)).Sub(sent))
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	t.Logf("create sent → program executed: p50 %s, max %s", took[len(took)/2], took[len(took)-1])
	c.mu.Lock()
	var own []time.Duration
	for _, s := range c.started {
		if strings.HasPrefix(s.Name, "speed-") {
			own = append(own, s.At.Sub(s.Seen))
		}
	}
	c.mu.Unlock()
	sort.Slice(own, func(i, j int) bool { return own[i] < own[j] })
	t.Logf("pod seen → program executed: p50 %s, max %s", own[len(own)/2], own[len(own)-1])
	const burst = 72
	began := time.Now()
	uids := make([]string, burst)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < burst; i += 8 {
				got, err := c.client.CoreV1().Pods("default").Create(t.Context(), testPod(fmt.Sprintf("burst-%d", i), "serve"), metav1.CreateOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				uids[i] = string(got.UID)
			}
		})
	}
	wg.Wait()
	created := time.Since(began)
	var last time.Duration
	for _, uid := range uids {
		last = max(last, find(uid).Sub(began))
	}
	t.Logf("burst of %d: created in %s, all executed after %s", burst, created, last)
	if last > 20*time.Second {
		t.Errorf("a burst of %d took %s", burst, last)
	}
}

func TestAStoppedNodeLeavesNothingAndItsNextRunStartsThePodsAgain(t *testing.T) {
	c := startKube(t)
	c.store = testImage(t, "test:v1")
	stop := c.runNode(t, sandbox.Isolated)
	c.create(t, testPod("stays", "serve"))
	first := c.until(t, "stays", "readiness", isReady)
	stop()
	if out, err := exec.Command("ip", "-o", "link").Output(); err == nil && strings.Contains(string(out), "ebbl0") {
		t.Errorf("links are left:\n%s", out)
	}
	c.mu.Lock()
	if len(c.stopped) != 1 || c.stopped[0].UID != string(first.UID) {
		t.Errorf("stopped: %+v", c.stopped)
	}
	c.mu.Unlock()
	c.runNode(t, sandbox.Isolated)
	wait(t, 20*time.Second, "the pod again", func() error {
		p := c.get(t, "stays")
		s := p.Status.ContainerStatuses[0]
		c.mu.Lock()
		starts := len(c.started)
		c.mu.Unlock()
		if !isReady(p) || s.State.Running == nil || starts != 2 {
			return fmt.Errorf("%d starts, status %+v", starts, s)
		}
		body, err := fetch("http://" + p.Status.PodIP + ":8080/")
		if err == nil && body != "hello " {
			err = fmt.Errorf("got %q", body)
		}
		return err
	})
}

func TestPlainModeRunsOneReplicaAPort(t *testing.T) {
	c := startKube(t)
	c.store = testImage(t, "test:v1")
	c.runNode(t, sandbox.Plain)
	if c.info.Ability.Mode != sandbox.Plain || !slices.ContainsFunc(LeavesOut(c.info.Ability), func(s string) bool { return strings.Contains(s, "one replica a port") }) {
		t.Errorf("info %+v", c.info)
	}
	with := func(name string) *corev1.Pod {
		p := testPod(name, "serve")
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080}}
		return p
	}
	c.create(t, with("one"))
	got := c.until(t, "one", "readiness", isReady)
	if got.Status.PodIP != c.info.NodeIP.String() {
		t.Errorf("pod address %s, node %s", got.Status.PodIP, c.info.NodeIP)
	}
	c.create(t, with("two"))
	const why = "port 8080 is taken by pod default/one; this node runs one replica a port: run ebb up as root or allow user namespaces"
	c.until(t, "two", "refusal", func(p *corev1.Pod) bool {
		return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled && c.Message == why })
	})
	if err := c.client.CoreV1().Pods("default").Delete(t.Context(), "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until(t, "two", "readiness", isReady)
}

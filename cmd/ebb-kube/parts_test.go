package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coredns/caddy"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	kubetypes "k8s.io/kubernetes/pkg/kubelet/types"
)

func TestOneServerAnswersOnAllItsListeners(t *testing.T) {
	outer, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := outer.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	// listen closes the descriptor it adopts.
	l, err := listen([]string{"127.0.0.1:0", "127.0.0.1:0"}, []int{int(file.Fd())})
	if err != nil {
		t.Fatal(err)
	}
	m, ok := l.(*merged)
	if !ok || len(m.all) != 3 || l.Addr().String() != m.all[0].Addr().String() {
		t.Fatalf("%T", l)
	}
	for _, one := range m.all {
		client, err := net.Dial("tcp", one.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		server.Write([]byte("x"))
		server.Close()
		if data, _ := io.ReadAll(client); string(data) != "x" {
			t.Errorf("%s: %q", one.Addr(), data)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("accepts after Close")
	}
	if _, err := listen([]string{"127.0.0.1:0"}, []int{1 << 20}); err == nil {
		t.Error("a descriptor that is not open was adopted")
	}
}

func TestNamesOutsideAreForwardedOrDoNotExist(t *testing.T) {
	cfg := &DNS{Listen: []string{"10.244.0.1"}, Kubeconfig: "/k", Domain: "cluster.local"}
	for name, c := range map[string]struct {
		forward  []string
		has, not string
	}{
		"offline": {nil, "rcode NXDOMAIN", "forward"},
		"online":  {[]string{"192.0.2.53"}, "forward . 192.0.2.53", "NXDOMAIN"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Forward = c.forward
			text := corefile(cfg)
			if !strings.Contains(text, c.has) || strings.Contains(text, c.not) {
				t.Error(text)
			}
			// The directives must all be known to this build.
			if err := caddy.ValidateAndExecuteDirectives(caddy.CaddyfileInput{Filepath: "Corefile", Contents: []byte(text), ServerTypeName: "dns"}, nil, true); err != nil {
				if !strings.Contains(err.Error(), "/k") {
					t.Error(err)
				}
			}
		})
	}
}

func TestEveryFlagIsOneOfTheAPIServers(t *testing.T) {
	cfg, err := readConfig("testdata/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := parseFlags(options.NewServerRunOptions().Flags(), apiServerFlags(cfg)); err != nil {
		t.Error(err)
	}
	if err := parseFlags(options.NewServerRunOptions().Flags(), []string{"--no-such=1"}); err == nil {
		t.Error("an unknown flag was accepted")
	}
}

// A new Kubernetes may rename what useEagerVolumes reaches for; a kubelet without its parts must then be left alone, not crash.
func TestAKubeletWithoutTheFieldsIsLeftAlone(t *testing.T) {
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("panics: %v", r)
		}
	}()
	if err := useEagerVolumes(&kubelet.Kubelet{}); err == nil {
		t.Error("an empty kubelet has no volume manager")
	}
	if err := useOrderlyStarts(&kubelet.Kubelet{}); err == nil {
		t.Error("an empty kubelet has no workers")
	}
}

// slowSyncer is a kubelet whose starts take until release is closed.
type slowSyncer struct {
	podSyncer
	begun   chan string
	release chan struct{}
}

func (s slowSyncer) SyncPod(_ context.Context, _ kubetypes.SyncPodType, pod, _ *v1.Pod, _ *kubecontainer.PodStatus) (bool, func(), error) {
	s.begun <- pod.Name
	<-s.release
	return false, nil, nil
}

func TestOnlyAFewPodsStartAtATimeAndOthersAreNotHeldUp(t *testing.T) {
	slow := slowSyncer{begun: make(chan string, 10), release: make(chan struct{})}
	o := orderlyStarts{slow, make(chan struct{}, 1)}
	done := make(chan struct{}, 10)
	sync := func(name string, status *kubecontainer.PodStatus) {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
		o.SyncPod(context.Background(), kubetypes.SyncPodCreate, pod, nil, status)
		done <- struct{}{}
	}
	started := &kubecontainer.PodStatus{SandboxStatuses: []*runtimeapi.PodSandboxStatus{{}}}
	go sync("first", &kubecontainer.PodStatus{})
	if got := <-slow.begun; got != "first" {
		t.Fatal(got)
	}
	go sync("second", &kubecontainer.PodStatus{})
	go sync("running", started)
	if got := <-slow.begun; got != "running" {
		t.Errorf("%s began while its turn had not come", got)
	}
	// The first does not end: after startHold the second's turn comes all the same.
	select {
	case got := <-slow.begun:
		if got != "second" {
			t.Error(got)
		}
	case <-time.After(10 * startHold):
		t.Error("a start that hangs holds the others up")
	}
	close(slow.release)
	for range 3 {
		<-done
	}
}

// CoreDNS and kube-proxy each turn the process's logging round, and with both at once nobody ever logs again.
func TestWhatTakesTheStandardLoggerWaitsForCoreDNS(t *testing.T) {
	before := loggerBack
	loggerBack = make(chan struct{})
	t.Cleanup(func() { loggerBack = before })
	ran := make(chan error, 1)
	run := func(context.Context) error { ran <- nil; return io.EOF }
	ended, end := context.WithCancel(t.Context())
	end()
	if err := afterLogger(ended, run); err != nil || len(ran) > 0 {
		t.Errorf("it runs although nobody gave the logger back: %v", err)
	}
	close(loggerBack)
	if err := afterLogger(t.Context(), run); err != io.EOF || len(ran) != 1 {
		t.Errorf("it does not run: %v", err)
	}
}

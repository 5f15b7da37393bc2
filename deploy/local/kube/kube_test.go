package kube

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/deploy/local/state"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// golden is read by ebb-kube's own test too (cmd/ebb-kube/config_test.go).
const golden = "../../../cmd/ebb-kube/testdata/config.json"

func settings(t *testing.T) Settings {
	t.Helper()
	dir, err := state.Open(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return Settings{
		Dir: dir, APIPort: 6443, InheritedListeners: []int{3}, NodeName: "laptop", NodeAddress: "10.244.0.1", PodCIDR: "10.244.0.0/24",
		ServiceCIDR: "10.96.0.0/16", ServiceAddress: "10.96.0.1", Kubelet: true, RuntimeSocket: "/run/containerd.sock", CgroupRoot: "/ebb/pods",
		MasqueradeAll: true, Restricted: true,
	}
}

func TestConfigurationIsWhatEbbKubeReads(t *testing.T) {
	s := settings(t)
	c := s.Config()
	c.DNS.Forward = []string{"192.0.2.53"}
	c.Kubelet.Labels = map[string]string{"ebb.dev/node": "kubelet"}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got := bytes.ReplaceAll(append(data, '\n'), []byte(s.Dir.Root()), []byte("/state"))
	// Below a long test folder sockets are elsewhere.
	got = bytes.ReplaceAll(got, []byte(s.Dir.Run()), []byte("/state/run"))
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (rewrite with -update): %s", golden, d)
	}
}

func TestALightNodeRunsNeitherKubeletNorScheduler(t *testing.T) {
	s := settings(t)
	s.Kubelet, s.NodeAddress = false, ""
	c := s.Config()
	if c.Kubelet != nil || c.Proxy != nil || c.Scheduler != nil || c.DNS != nil || c.APIServer.AdvertiseAddress != "" || len(c.APIServer.Listen) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestEverythingThatIsWrittenIsForItsOwnerOnly(t *testing.T) {
	s := settings(t)
	if err := s.Write(time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, user := range kubeconfigUsers {
		info, err := os.Stat(s.Kubeconfig(user))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", user, info, err)
		}
	}
	data, err := os.ReadFile(s.ConfigFile())
	if err != nil || !strings.Contains(string(data), `"nodeName": "laptop"`) {
		t.Errorf("%s: %v", s.ConfigFile(), err)
	}
}

func TestNameServersAreAddresses(t *testing.T) {
	got := nameservers([]byte("# x\nsearch a b\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver\nnameserver 2001:db8::1 # y\noptions z\n"))
	if d := cmp.Diff([]string{"192.0.2.1", "2001:db8::1"}, got); d != "" {
		t.Error(d)
	}
}

func FuzzNameservers(f *testing.F) {
	f.Add([]byte("nameserver 192.0.2.1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range nameservers(data) {
			if strings.ContainsAny(s, " \t{}") {
				t.Errorf("%q would break a Corefile", s)
			}
		}
	})
}

// mayDiffer are modules that both builds have but that no package of both is built upon. Traces are exported by eventing/trace/otlp in one and
// by Kubernetes' and containerd's own packages in the others; go-control-plane asks for the newer version.
var mayDiffer = map[string]bool{
	"github.com/Microsoft/go-winio":                                   true,
	"github.com/grpc-ecosystem/grpc-gateway/v2":                       true,
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace":               true,
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc": true,
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp": true,
	"go.opentelemetry.io/proto/otlp":                                  true,
}

// TestSharedDependenciesHaveTheMainModulesVersions keeps one build cache good for all: a package compiles to the same cache entry only if
// everything below it is of the same version. One low-lying module that differs (logr, x/time, protobuf) costs minutes of a first build.
func TestSharedDependenciesHaveTheMainModulesVersions(t *testing.T) {
	root := "../../.."
	main := versions(t, filepath.Join(root, "go.mod"))
	kube := versions(t, filepath.Join(root, "cmd/ebb-kube/go.mod"))
	containerd := versions(t, filepath.Join(root, "deploy/local/containerd/go.mod"))
	for _, c := range []struct {
		name     string
		one, two map[string]string
	}{{"main and ebb-kube", main, kube}, {"main and containerd", main, containerd}, {"ebb-kube and containerd", kube, containerd}} {
		for module, v := range c.one {
			if other, ok := c.two[module]; ok && other != v && !mayDiffer[module] {
				t.Errorf("%s: %s is %s and %s; align with: go get %s@VERSION in the module that has the older one", c.name, module, v, other, module)
			}
		}
	}
}

var requirement = regexp.MustCompile(`(?m)^(?:require)?\s+(\S+\.\S+) (v\S+)`)

func versions(t *testing.T, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range requirement.FindAllStringSubmatch(string(data), -1) {
		out[m[1]] = m[2]
	}
	return out
}

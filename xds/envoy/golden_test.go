package envoy_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/render"
)

var update = flag.Bool("update", false, "rewrite the goldens")

var options = envoy.Options{TrustDomain: "cluster.local"}

// golden compares with a file, or rewrites it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", file, diff)
	}
}

func TestWhatUsersWriteBecomesWhatEnvoyGets(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, in := range cases {
		dir := filepath.Dir(in)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			input, err := os.ReadFile(in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := render.Render(bytes.NewReader(input), options)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(dir, "out.yaml"), got)
		})
	}
}

func show(t *testing.T, message proto.Message) []byte {
	t.Helper()
	data, err := protojson.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	out, err := yaml.JSONToYAML(data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAGatewayHoldsNothingOfWhatIsCold(t *testing.T) {
	golden(t, "testdata/gateway-route-configuration.yaml", show(t, envoy.RouteConfiguration(model.External)))
	golden(t, "testdata/gateway-listener.yaml", show(t, envoy.GatewayListener{
		Config: model.External, Addresses: []model.Address{{Host: "127.0.0.1", Port: 80}, {Host: "::1", Port: 80}}, Pipe: "/run/edge.sock",
	}.Listener()))
}

func TestReadinessIsAskedOfWhatIsNotReadyAlone(t *testing.T) {
	replica := func(name string, probe *model.Probe) model.Replica {
		return model.Replica{
			Pod:      model.Key{Namespace: "default", Name: name},
			Revision: model.Revision{Key: model.Key{Namespace: "default", Name: "hello-v1"}, Probe: probe},
			App:      model.Address{Host: "10.244.0.7", Port: 8080}, Listen: model.Address{Host: "10.0.0.1", Port: 20007},
		}
	}
	golden(t, "testdata/health-specifier.yaml", show(t, envoy.HealthSpecifier([]envoy.Starting{
		{Replica: replica("by-default", &model.Probe{Kind: model.ProbeTCP, Port: 8080}), Runs: true, Every: 5 * time.Millisecond},
		{Replica: replica("by-http", &model.Probe{Kind: model.ProbeHTTP, Port: 8080, Path: "health", Headers: []model.Header{{Name: "X-A", Value: "b"}}}), Listening: true, Runs: true, Every: 4 * time.Millisecond},
		{Replica: replica("by-grpc", &model.Probe{Kind: model.ProbeGRPC, Port: 9000, Service: "echo", Period: 1e9, SuccessThreshold: 2}), Listening: true, Runs: true, Every: 5 * time.Millisecond},
		{Replica: replica("by-the-kubelet", nil), Listening: true, Runs: true, Every: 5 * time.Millisecond},
	})))
	golden(t, "testdata/health-specifier-all-ready.yaml", show(t, envoy.HealthSpecifier(nil)))
}

// Of many that run, what was found out of one does not wait for the checks of the others. Until one runs there is nothing to report soon.
func TestReportsComeSoonWhileSomethingRuns(t *testing.T) {
	starting := func(runs bool, every time.Duration) envoy.Starting {
		return envoy.Starting{Listening: true, Answers: true, Runs: runs, Every: every}
	}
	for _, c := range []struct {
		starting []envoy.Starting
		want     time.Duration
	}{
		{nil, 5 * time.Second},
		{[]envoy.Starting{starting(true, 2*time.Millisecond)}, time.Millisecond},
		{[]envoy.Starting{starting(true, 4*time.Millisecond)}, 2 * time.Millisecond},
		{[]envoy.Starting{starting(true, 8*time.Millisecond)}, 2 * time.Millisecond},
		{[]envoy.Starting{starting(true, 32*time.Millisecond)}, 4 * time.Millisecond},
		{[]envoy.Starting{starting(false, 64*time.Millisecond)}, 64 * time.Millisecond},
		{[]envoy.Starting{starting(false, envoy.IdleCheck), starting(true, 32*time.Millisecond)}, 4 * time.Millisecond},
	} {
		if got := envoy.HealthSpecifier(c.starting).GetInterval().AsDuration(); got != c.want {
			t.Errorf("%+v: every %v, not every %v", c.starting, got, c.want)
		}
	}
}

func TestWhatTakesLongIsAskedLessOften(t *testing.T) {
	for _, c := range []struct {
		n               int
		ago, want, next time.Duration
	}{
		{1, 0, 2 * time.Millisecond, 800 * time.Millisecond},
		{1, -time.Second, 2 * time.Millisecond, 800 * time.Millisecond},
		{1, 799 * time.Millisecond, 2 * time.Millisecond, 800 * time.Millisecond},
		{1, 800 * time.Millisecond, 4 * time.Millisecond, 1600 * time.Millisecond},
		{1, 10 * time.Second, 32 * time.Millisecond, 12800 * time.Millisecond},
		{1, time.Hour, time.Second, 409600 * time.Millisecond},
		{8, 0, 8 * time.Millisecond, 3200 * time.Millisecond},
		{72, 0, 64 * time.Millisecond, 25600 * time.Millisecond},
		{72, 26 * time.Second, 128 * time.Millisecond, 51200 * time.Millisecond},
		{100_000, 0, time.Second, 409600 * time.Millisecond},
	} {
		if got, next := envoy.CheckInterval(c.n, c.ago); got != c.want || next != c.next {
			t.Errorf("%d replicas, %v ago: every %v until %v, not every %v until %v", c.n, c.ago, got, next, c.want, c.next)
		}
	}
}

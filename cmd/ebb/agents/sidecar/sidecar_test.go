package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"ebb.dev/ebb/cmd/ebb/agents/host"
	"ebb.dev/ebb/deploy/envoy/runner"
	"ebb.dev/ebb/xds/agent/agentpb"
)

// control is a control plane that is asked to drain.
type control struct {
	agentpb.NodeClient
	asked *agentpb.DrainRequest
	err   error
}

func (c *control) Drain(_ context.Context, request *agentpb.DrainRequest, _ ...grpc.CallOption) (*agentpb.DrainResponse, error) {
	c.asked = request
	return &agentpb.DrainResponse{Drained: true}, c.err
}

// beside is a sidecar's page beside an Envoy whose admin page says this of its listeners; "" is no Envoy.
func beside(t *testing.T, listeners string) (*page, *control) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "envoy.sock")
	if listeners != "" {
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		envoy := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, listeners) })}
		go envoy.Serve(listener) //nolint:errcheck // ends with the test
		t.Cleanup(func() { envoy.Close() })
	}
	c := &control{}
	return &page{admin: runner.Admin(socket), node: c, pod: &agentpb.DrainRequest{Namespace: "default", Name: "hello-a"}}, c
}

func get(p *page, path string) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	p.handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, path, nil))
	return out
}

func TestASidecarIsReadyWhenItsEnvoyListens(t *testing.T) {
	for name, c := range map[string]struct {
		listeners string
		want      int
	}{
		"no Envoy":             {"", http.StatusServiceUnavailable},
		"told nothing yet":     {`{}`, http.StatusServiceUnavailable},
		"no listener any more": {`{"listener_statuses":[]}`, http.StatusServiceUnavailable},
		"its listener":         {`{"listener_statuses":[{"name":"replica|default/hello-a"}]}`, http.StatusOK},
		"not an Envoy":         {`hello`, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := beside(t, c.listeners)
			if got := get(p, "/ready"); got.Code != c.want {
				t.Errorf("%d %s", got.Code, got.Body)
			}
		})
	}
}

func TestAPodThatEndsIsDrainedByTheControlPlane(t *testing.T) {
	p, c := beside(t, "")
	if got := get(p, "/drain?within=30s"); got.Code != http.StatusOK {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	if c.asked.GetName() != "hello-a" || c.asked.GetNamespace() != "default" || c.asked.GetWithin().AsDuration() != 30*time.Second {
		t.Errorf("asked for %v", c.asked)
	}
	c.err = errors.New("away")
	if got := get(p, "/drain"); got.Code != http.StatusServiceUnavailable || c.asked.GetWithin() != nil {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

func TestASidecarMustKnowItsPod(t *testing.T) {
	whole := Options{
		Common:    host.Common{TokenFile: "token", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)},
		Namespace: "default", Pod: "hello-a", UID: "1", IP: "10.0.0.1", Bootstrap: "envoy.pb",
	}
	for want, change := range map[string]func(*Options){
		"--bootstrap":  func(o *Options) { o.Bootstrap = "" },
		"POD_IP":       func(o *Options) { o.IP = "" },
		"POD_NAME":     func(o *Options) { o.Pod = "" },
		"--token-file": func(o *Options) { o.TokenFile = "" },
	} {
		o := whole
		change(&o)
		if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in: %v", want, err)
		}
	}
}

// A pod's name may be as long as a socket's whole path.
func TestTheSocketOfASidecarIsShort(t *testing.T) {
	const dir = "/var/run/ebb/agent"
	if got := host.AdminSocket(dir, "sidecar/default/"+strings.Repeat("a", 253)); len(got) > 100 {
		t.Error(got)
	}
	if got := host.AdminSocket(dir, "node/n1/0"); got != "/var/run/ebb/agent/envoy-0.sock" {
		t.Error(got)
	}
}

package probe

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestEachKindOfProbeTellsGoodFromBad(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ok" || r.Host != "me" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer web.Close()
	u, _ := url.Parse(web.URL)
	port, _ := strconv.Atoi(u.Port())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	h := health.NewServer()
	h.SetServingStatus("bad", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	grpc_health_v1.RegisterHealthServer(s, h)
	go s.Serve(l)
	defer s.Stop()
	grpcPort := int32(l.Addr().(*net.TCPAddr).Port)
	bad := "bad"
	target := Target{IP: "127.0.0.1", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(port)}}, Exec: func(_ context.Context, c []string) (string, int, error) {
		return "said " + c[0], len(c) - 1, nil
	}}
	header := []corev1.HTTPHeader{{Name: "Host", Value: "me"}}
	for name, c := range map[string]struct {
		p    corev1.ProbeHandler
		want string
	}{
		"http":       {corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ok", Port: intstr.FromString("web"), HTTPHeaders: header}}, ""},
		"http 418":   {corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ok", Port: intstr.FromInt(port)}}, "statuscode: 418"},
		"no port":    {corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("none")}}, `"none"`},
		"tcp":        {corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(port)}}, ""},
		"tcp closed": {corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(1)}}, "refused"},
		"grpc":       {corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: grpcPort}}, ""},
		"grpc bad":   {corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: grpcPort, Service: &bad}}, "NOT_SERVING"},
		"exec":       {corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"a"}}}, ""},
		"exec 1":     {corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"a", "b"}}}, "said a"},
	} {
		err := Once(context.Background(), c.p, 5*time.Second, target)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestVerdictsChangeAtTheirThresholds(t *testing.T) {
	c := Counter{Success: 2, Failure: 3}
	for i, step := range []struct{ ok, reached bool }{{true, false}, {true, true}, {false, false}, {false, false}, {true, false}, {false, false}, {false, false}, {false, true}, {false, true}} {
		if got := c.Add(step.ok); got != step.reached {
			t.Errorf("step %d: got %v", i, got)
		}
	}
}

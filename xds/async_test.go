package xds_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"ebb.dev/ebb/crds/async"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/xds/build"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// laterIngress is what a Route writes for a revision of the same name and -v1.
func laterIngress(name, mode string) *networkingv1alpha1.Ingress {
	path := networkingv1alpha1.HTTPIngressPath{Splits: []networkingv1alpha1.IngressBackendSplit{{
		IngressBackend: networkingv1alpha1.IngressBackend{ServiceNamespace: "default", ServiceName: name + "-v1", ServicePort: intstr.FromInt32(80)},
		Percent:        100,
		AppendHeaders:  map[string]string{"Knative-Serving-Revision": name + "-v1", "Knative-Serving-Namespace": "default"},
	}}}
	rule := func(visibility networkingv1alpha1.IngressVisibility, host string) networkingv1alpha1.IngressRule {
		return networkingv1alpha1.IngressRule{Hosts: []string{host}, Visibility: visibility,
			HTTP: &networkingv1alpha1.HTTPIngressRuleValue{Paths: []networkingv1alpha1.HTTPIngressPath{path}}}
	}
	return &networkingv1alpha1.Ingress{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, Annotations: map[string]string{async.ModeKey: mode},
			Labels: map[string]string{serving.RouteLabelKey: name, serving.RouteNamespaceLabelKey: "default"},
		},
		Spec: networkingv1alpha1.IngressSpec{Rules: []networkingv1alpha1.IngressRule{
			rule(networkingv1alpha1.IngressVisibilityClusterLocal, name+".default.svc.cluster.local"),
			rule(networkingv1alpha1.IngressVisibilityExternalIP, name+".default.localhost"),
		}},
	}
}

// later puts a service whose requests may be answered later into the world, and who takes those.
func later(t *testing.T, name, mode string, broker *httptest.Server) func(*store.Tx) {
	host, port, err := net.SplitHostPort(broker.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return func(tx *store.Tx) {
		cluster := build.AsyncBackend.Cluster()
		tx.SetService(&store.Service{
			Cluster:   model.Cluster{Name: cluster, Owner: model.Owner{Kind: "Service", Key: build.AsyncBackend.Service}, Protocol: model.HTTP1},
			Endpoints: model.Endpoints{Cluster: cluster, Items: []model.Endpoint{{Address: host, Port: uint32(number)}}},
		})
		ingress := laterIngress(name, mode)
		vhosts, _ := build.VHosts(ingress, true)
		tx.SetVHosts(build.IngressOwner(ingress), vhosts)
	}
}

// sees answers with what a broker would go by.
func sees() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s %s %s %s", r.Header.Get(async.ServiceHeader), r.Header.Get(async.HostHeader), r.Host, r.URL.Path, r.Header.Get("X-Ebb-Cluster"))
	})
}

// prefer asks with headers, given as name and value in turn.
func (b *bed) prefer(service, path string, headers ...string) (int, string) {
	b.t.Helper()
	request, err := http.NewRequest(http.MethodPost, b.gateway+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	request.Host = service + ".default.localhost"
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, err.Error()
	}
	return response.StatusCode, string(body)
}

func TestRequestsForLaterGoToTheBrokerAndWakeNobody(t *testing.T) {
	broker := httptest.NewServer(sees())
	t.Cleanup(broker.Close)
	b := newBed(t, hold.DefaultSettings(), revision("hello-v1", 0), revision("every-v1", 0),
		later(t, "hello", async.ModeConditional, broker), later(t, "every", async.ModeAlways, broker))
	key := model.Key{Namespace: "default", Name: "hello-v1"}
	told := func(service, path string) string {
		return fmt.Sprintf("default/%s %s.default.svc.cluster.local %s.default.localhost %s ", service, service, service, path)
	}
	ask := func(state string) {
		for _, c := range []struct {
			service, path string
			headers       []string
			later         bool
		}{
			{"hello", "/a", []string{"Prefer", "respond-async"}, true},
			{"hello", "/a?b=c", []string{"Prefer", "handling=lenient", "Prefer", "wait=5, Respond-Async"}, true},
			{"hello", "/.ebb/async/1", nil, true},
			{"hello", "/a", []string{"Prefer", "respond-async", "X-Ebb-Async-Service", "default/other", "x-ebb-async-host", "other"}, true},
			{"every", "/a", nil, true},
			{"every", "/a", []string{"Prefer", "wait=3"}, true},
			{"every", "/.ebb/async/1", []string{"Prefer", "respond-sync"}, true},
			{"hello", "/a", nil, false},
			{"hello", "/a", []string{"Prefer", `x="respond-async"`}, false},
			{"every", "/a", []string{"Prefer", "respond-sync"}, false},
		} {
			if !c.later && state == "cold" {
				continue
			}
			path, _, _ := strings.Cut(c.path, "?")
			code, body := b.prefer(c.service, c.path, c.headers...)
			switch {
			case c.later && state == "warm" && (code != http.StatusAccepted || body != told(c.service, path)):
				t.Errorf("%s, %s%s %q: %d %q", state, c.service, c.path, c.headers, code, body)
			case c.later && (code != http.StatusAccepted || !strings.HasPrefix(body, told(c.service, path))):
				t.Errorf("%s, %s%s %q: %d %q", state, c.service, c.path, c.headers, code, body)
			case !c.later && (code != http.StatusOK || body != "app"):
				t.Errorf("%s, %s%s %q: %d %q", state, c.service, c.path, c.headers, code, body)
			}
		}
	}
	ask("cold")
	b.scaler.mu.Lock()
	held := b.scaler.most[key]
	b.scaler.mu.Unlock()
	if held > 0 {
		t.Errorf("a request for later was held for %s", key)
	}
	for _, name := range []string{"hello-v1", "every-v1"} {
		b.startReplica(name, hello("app"))
	}
	for _, name := range []string{"hello", "every"} {
		if code, body := b.prefer(name, "/", "Prefer", "respond-sync"); code != 200 || body != "app" {
			t.Fatalf("%s: %d %q", name, code, body)
		}
	}
	for _, name := range []string{"hello", "every"} {
		b.warm(name)
	}
	ask("warm")
}

// warm waits until the gateway passes a service's requests on by itself.
func (b *bed) warm(name string) {
	b.t.Helper()
	cluster := split(name+"-v1", 100).Cluster
	for deadline := time.Now().Add(10 * time.Second); !b.plane.Gateways.Passing(cluster); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("no gateway passes requests to %s", cluster)
		}
	}
	owner := model.Owner{Kind: build.IngressKind, Key: model.Key{Namespace: "default", Name: name}}
	if err := b.plane.Gateways.Programmed(b.t.Context(), owner); err != nil {
		b.t.Fatal(err)
	}
}

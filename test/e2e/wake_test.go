package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"ebb.dev/ebb/crds/serving"
)

// cold makes a service that has never had a replica.
func (s *space) cold(a app) string {
	s.t.Helper()
	if a.annotations == nil {
		a.annotations = asleepAtFirst()
	}
	s.serve(a)
	if pods := s.replicas(a.name); len(pods) > 0 {
		s.t.Fatalf("%s has pods before its first request: %v", a.name, pods)
	}
	return s.url(a.name)
}

func TestFirstRequestWakesAServiceThatSleepsAgainAfterwards(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	url := s.cold(app{name: "a"})
	first := expect(t, url, "Hello World!")
	t.Logf("first wake %s", first.took.Round(time.Millisecond))
	s.asleep("a")
	again := expect(t, url, "Hello World!")
	t.Logf("wake from zero %s", again.took.Round(time.Millisecond))
	if first.took > 10*time.Second || again.took > 10*time.Second {
		t.Errorf("waking took %s and %s", first.took, again.took)
	}
}

// Envoy says nothing of a cluster that never had a request: Ebb has to know that this is no demand.
func TestAServiceThatIsNeverCalledSleeps(t *testing.T) {
	t.Parallel()
	for _, proxy := range []string{serving.ReplicaProxyNode, serving.ReplicaProxySidecar} {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			s := shared.namespace(t)
			annotations := asleepAtFirst("initial-scale", "1")
			annotations[serving.ReplicaProxyAnnotationKey] = proxy
			s.serve(app{name: "a", annotations: annotations})
			s.asleep("a")
		})
	}
}

func TestFirstRequestsBodyArrivesWhole(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	url := s.cold(app{name: "a"})
	const size = 8 << 20
	body, err := io.ReadAll(&drip{left: size})
	if err != nil {
		t.Fatal(err)
	}
	for name, reader := range map[string]io.Reader{"of known length": bytes.NewReader(body), "in chunks": &drip{left: size}} {
		s.asleep("a")
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/digest", reader)
		if err != nil {
			t.Fatal(err)
		}
		got, err := do(fresh, request)
		if want := fmt.Sprintf("%x %d\n", sha256.Sum256(body), size); err != nil || got.body != want {
			t.Errorf("%s: %v, %d %q, want %q", name, err, got.code, got.body, want)
		}
	}
}

func TestWebSocketAsVeryFirstRequest(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	url := s.cold(app{name: "a"})
	config, err := websocket.NewConfig(strings.Replace(url, "http://", "ws://", 1)+"/ws", url)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := loopback(t.Context(), "tcp", config.Location.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	if err := tcp.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	ws, err := websocket.NewClient(config, tcp)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		var got string
		if err := websocket.Message.Send(ws, text); err != nil {
			t.Fatal(err)
		}
		if err := websocket.Message.Receive(ws, &got); err != nil || got != text {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestGRPCStreamAsVeryFirstRequest(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	url := s.cold(app{name: "a", port: map[string]any{"name": "h2c", "containerPort": 8080}})
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return loopback(ctx, "tcp", address) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/ebb.test.Echo/Stream")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two", "three"} {
		got := &wrapperspb.BytesValue{}
		if err := stream.SendMsg(wrapperspb.Bytes([]byte(text))); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(got); err != nil || string(got.Value) != text {
			t.Fatalf("%q, %v", got.Value, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&wrapperspb.BytesValue{}); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestClientThatLeavesCountsNoMore(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	url := s.cold(app{name: "a", env: map[string]string{"START_DELAY": "10s"}})
	revision := s.name + "/a-00001"
	ctx, leave := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() { get(ctx, url) }) //nolint:errcheck // it is cancelled
	}
	s.holds(revision, 5)
	leave()
	group.Wait()
	s.holds(revision, 0)
}

// holds waits until so many requests are held for a revision.
func (s *space) holds(revision string, want int) {
	s.t.Helper()
	eventually(s.t, 15*time.Second, fmt.Sprintf("%d are held", want), func() error {
		n, err := s.held(revision)
		if err == nil && n != want {
			err = fmt.Errorf("%d are", n)
		}
		return err
	})
}

func TestAllHeldRequestsOfOneColdServiceAreAnswered(t *testing.T) {
	n := 200
	if long() {
		n = 1000
	}
	s := shared.namespace(t)
	// Late enough that all of them wait.
	url := s.cold(app{name: "a", annotations: asleepAtFirst("max-scale", "3"), env: map[string]string{"START_DELAY": "2s"}})
	got := many(t.Context(), fresh, url, n, n)
	t.Log(got)
	if got.failures() > 0 || got.sent != n {
		t.Errorf("%d of %d failed", got.failures(), got.sent)
	}
}

// multiplexed sends many requests over few connections.
func multiplexed() *http.Client {
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{Protocols: protocols, DialContext: loopback}}
}

func TestRequestsPastTheBoundOfTheHoldGetARetryAfter(t *testing.T) {
	const bound, more = 10000, 300
	s := shared.namespace(t)
	// One replica that does not start is enough to wait for: a hundred would only keep the machine from holding.
	url := s.cold(app{name: "a", annotations: asleepAtFirst("max-scale", "1"), env: map[string]string{"START_DELAY": "10m"}})
	ctx, leave := context.WithCancel(t.Context())
	client := multiplexed()
	answers := make(chan answer, bound+more)
	var group sync.WaitGroup
	defer func() { leave(); group.Wait() }()
	ask := func(n int) {
		for range n {
			group.Go(func() {
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
				if err != nil {
					return
				}
				if got, err := do(client, request); err == nil {
					answers <- got
				}
			})
		}
	}
	ask(bound)
	s.holds(s.name+"/a-00001", bound)
	ask(more)
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	for i := range more {
		select {
		case got := <-answers:
			if got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "too many requests wait") {
				t.Fatalf("past the bound: %d %v %q", got.code, got.header, got.body)
			}
		case <-timeout.C:
			t.Fatalf("%d of %d were answered", i, more)
		}
	}
	s.holds(s.name+"/a-00001", bound)
}

func TestHeldRequestsOfAServiceThatCannotStartAreToldWhy(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		app app
		// want is in the answer, status in the service's condition.
		want, status string
	}{
		"no such program": {app{name: "a", command: []string{"/no/such"}}, "no such file or directory", "no such file or directory"},
		"it exits":        {app{name: "b", env: map[string]string{"FAIL": "3"}}, "exit code 3", "failing as told"},
	}
	s := shared.namespace(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			url := s.cold(c.app)
			got, err := get(t.Context(), url)
			if err != nil || got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, c.want) {
				t.Errorf("%v, %d %v %q, want 503 and %q", err, got.code, got.header, got.body, c.want)
			}
			t.Logf("after %s: %s", got.took.Round(time.Millisecond), strings.TrimSpace(got.body))
			eventually(t, 20*time.Second, "the runtime's words in the status", func() error {
				if message := s.message(c.app.name, "ConfigurationsReady"); !strings.Contains(message, c.status) {
					return fmt.Errorf("message %q", message)
				}
				return nil
			})
		})
	}
}

func TestAnImageThatCannotBeHadIsNamedAndDisturbsNothingElse(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	url := s.cold(app{name: "good"})
	bad := app{name: "bad", image: "ebb.dev/nothing:v1", annotations: asleepAtFirst()}
	s.apply(bad.manifest())
	eventually(t, 20*time.Second, "the image is named", func() error {
		message := s.message("bad", "ConfigurationsReady")
		if !strings.Contains(message, `Unable to fetch image "ebb.dev/nothing:v1"`) || !strings.Contains(message, "ebb image build") {
			return fmt.Errorf("message %q", message)
		}
		return nil
	})
	expect(t, url, "Hello World!")
}

func TestColdShareOfASplitIsHeldAlone(t *testing.T) {
	s := shared.namespace(t)
	a := app{name: "a", revision: "a-warm", env: map[string]string{"TARGET": "warm"}, annotations: map[string]string{"autoscaling.knative.dev/min-scale": "1"}}
	s.serve(a)
	a.revision, a.annotations = "a-cold", asleepAtFirst()
	a.env = map[string]string{"TARGET": "cold", "START_DELAY": "3s"}
	a.traffic = []map[string]any{{"revisionName": "a-warm", "percent": 50}, {"revisionName": "a-cold", "percent": 50}}
	s.apply(a.manifest())
	s.must("wait", "ksvc/a", "--for=jsonpath={.status.latestReadyRevisionName}=a-cold", "--timeout=30s")
	s.ready("a")
	url := s.url("a")
	var mu sync.Mutex
	took := map[string][]time.Duration{}
	var group sync.WaitGroup
	for range 60 {
		group.Go(func() {
			got, err := get(t.Context(), url)
			if err != nil || got.code != http.StatusOK {
				t.Errorf("%v %d %s", err, got.code, got.body)
			}
			mu.Lock()
			defer mu.Unlock()
			took[strings.TrimSpace(got.body)] = append(took[strings.TrimSpace(got.body)], got.took)
		})
	}
	group.Wait()
	warm, cold := took["Hello warm!"], took["Hello cold!"]
	if len(warm) < 11 || len(cold) < 11 {
		t.Fatalf("%d warm, %d cold of 60", len(warm), len(cold))
	}
	for _, d := range warm {
		if d > 2*time.Second {
			t.Errorf("a request of the warm share took %s", d)
		}
	}
	for _, d := range cold {
		if d < 2*time.Second {
			t.Errorf("a request of the cold share took %s, before the replica listened", d)
		}
	}
}

func TestUnknownHostIsNotFoundAtOnce(t *testing.T) {
	got, err := get(t.Context(), "http://nobody.default.localhost:"+strconv.Itoa(shared.port))
	if err != nil || got.code != http.StatusNotFound {
		t.Errorf("%v, %d %q", err, got.code, got.body)
	}
}

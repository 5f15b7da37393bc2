package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestContainerConcurrencyIsNeverExceeded(t *testing.T) {
	s := shared.namespace(t)
	for _, limit := range []int{1, 3} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			name := fmt.Sprintf("limit-%d", limit)
			// Two replicas at most: the queues before them are long.
			url := s.cold(app{name: name, annotations: asleepAtFirst("max-scale", "2"), spec: map[string]any{"containerConcurrency": limit}})
			got := many(t.Context(), fresh, url+"/sleep?ms=50", 60, 30)
			t.Log(got)
			if got.failures() > 0 {
				t.Errorf("%d of %d failed", got.failures(), got.sent)
			}
			for range 10 { // whichever replica answers
				most, err := get(t.Context(), url+"/max")
				if n, bad := strconv.Atoi(strings.TrimSpace(most.body)); err != nil || bad != nil || n > limit {
					t.Fatalf("%v: %q requests were in one replica at once, the limit is %d", err, most.body, limit)
				}
			}
		})
	}
}

func TestLoadMakesMoreReplicasAndTheirEndLosesNothing(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	url := s.cold(app{name: "a", annotations: asleepAtFirst("max-scale", "4", "target", "5")})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c := newTally()
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			for ctx.Err() == nil {
				c.count(get(t.Context(), url+"/sleep?ms=100"))
			}
		})
	}
	eventually(t, 30*time.Second, "4 replicas", func() error {
		if n := len(s.replicas("a")); n != 4 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	stop()
	group.Wait()
	// Sparse requests go on while replicas are taken away.
	for len(s.replicas("a")) > 1 {
		c.count(get(t.Context(), url))
	}
	s.asleep("a")
	t.Log(c)
	if c.failures() > 0 {
		t.Errorf("%d of %d failed", c.failures(), c.sent)
	}
}

// A ReplicaSet deletes whom it likes. The replica that was drained for it, and kept, was left out for ever: nothing answered.
func TestAReplicaThatWasDrainedAndIsKeptServesAgain(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	url := s.cold(app{name: "a", annotations: asleepAtFirst("max-scale", "2", "target", "5")})
	expect(t, url, "Hello World!")
	older := s.replicas("a")
	busy := startLoad(t, url+"/sleep?ms=500", 30)
	s.grows("a", 2)
	// Of two that do nothing the younger one is drained; this makes the ReplicaSet take the older one.
	s.must("annotate", "pod", older[0], "controller.kubernetes.io/pod-deletion-cost=-2000")
	busy.stop()
	// So few that no third replica is asked for, which would answer them.
	steady := startLoad(t, url, 1)
	eventually(t, time.Minute, "the younger replica to be alone", func() error {
		if left := s.replicas("a"); len(left) != 1 || left[0] == older[0] {
			return fmt.Errorf("pods %v, the older one is %s", left, older[0])
		}
		return nil
	})
	steady.answered(t, 4)
	for _, c := range []*tally{busy.tally, steady.stop()} {
		t.Log(c)
		if c.failures() > 0 || c.slowest > 3*time.Second {
			t.Errorf("%d of %d failed, the slowest took %s", c.failures(), c.sent, c.slowest)
		}
	}
	s.asleep("a")
}

func TestCyclesFromZeroToManyAndBackFailNothing(t *testing.T) {
	t.Parallel()
	cycles := 5
	if long() {
		cycles = 50
	}
	s := shared.namespace(t)
	url := s.cold(app{name: "a", annotations: asleepAtFirst("max-scale", "3"), spec: map[string]any{"containerConcurrency": 1}})
	total := newTally()
	for range cycles {
		c := many(t.Context(), fresh, url+"/sleep?ms=50", 6, 6)
		if c.failures() > 0 {
			t.Errorf("%v", c)
		}
		total.sent += c.sent
		total.slowest = max(total.slowest, c.slowest)
		s.asleep("a")
	}
	t.Logf("%d cycles: %v", cycles, total)
}

func TestOurHeadersOfClientsNeverReachAnApp(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	url := s.cold(app{name: "a"})
	other := s.cold(app{name: "b", env: map[string]string{"TARGET": "b"}})
	for _, when := range []string{"cold", "warm"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Ebb-Cluster", "cluster|"+s.name+"/b-00001|http1")
		request.Header.Set("x-ebb-anything", "forged")
		request.Header.Set("x-mine", "kept")
		got, err := do(fresh, request)
		if err != nil || got.code != http.StatusOK {
			t.Fatalf("%s: %v %d %q", when, err, got.code, got.body)
		}
		// Nor, as on Knative, what a KIngress tells gateways of the revision.
		if seen := strings.ToLower(got.body); strings.Contains(seen, "x-ebb-") || strings.Contains(seen, "knative-serving-") {
			t.Errorf("%s: the app saw %s", when, got.body)
		}
		if !strings.Contains(got.body, `"X-Mine":["kept"]`) || !strings.Contains(got.body, `"hostname":"a-00001-`) {
			t.Errorf("%s: another app, or without the client's header: %s", when, got.body)
		}
	}
	if pods := s.replicas("b"); len(pods) > 0 {
		t.Errorf("a forged header woke %s: %v", other, pods)
	}
}

package xds_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// manyClients is an HTTP client that opens as many connections as it has requests.
func manyClients(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 2000}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// waitHeld returns when n requests are held for a revision.
func (b *bed) waitHeld(name string, n int) {
	b.t.Helper()
	key := model.Key{Namespace: "default", Name: name}
	deadline := time.Now().Add(20 * time.Second)
	for b.plane.Hold.Held(key) != n {
		if time.Now().After(deadline) {
			b.t.Fatalf("%d requests held for %s, want %d", b.plane.Hold.Held(key), name, n)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAThousandHeldRequestsAreAllAnsweredOnce(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("many-v1", 0), service("many", split("many-v1", 100)))
	client := manyClients(t)
	var answered, seen atomic.Int64
	var wg sync.WaitGroup
	const n = 1000
	for range n {
		wg.Go(func() {
			if code, body := b.get(client, "many", "/"); code == 200 && body == "ok" {
				answered.Add(1)
			} else {
				t.Errorf("got %d %q", code, body)
			}
		})
	}
	b.waitHeld("many-v1", n)
	began := time.Now()
	b.startReplica("many-v1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		seen.Add(1)
		fmt.Fprint(w, "ok")
	}))
	wg.Wait()
	t.Logf("%d released and answered in %s", n, time.Since(began))
	if answered.Load() != n || seen.Load() != n {
		t.Fatalf("%d answered, the app saw %d, want %d each", answered.Load(), seen.Load(), n)
	}
}

func TestAClientThatLeavesStopsCountingAsDemand(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("left-v1", 0), service("left", split("left-v1", 100)))
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, b.gateway, nil)
		request.Host = "left.default.localhost"
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			t.Errorf("got %d, want none", response.StatusCode)
		}
	}()
	b.waitHeld("left-v1", 1)
	leave()
	<-gone
	b.waitHeld("left-v1", 0)
}

func TestPastTheBoundTheAnswerIs503WithRetryAfter(t *testing.T) {
	settings := hold.DefaultSettings()
	settings.PerRevision = 5
	b := newBed(t, settings, revision("full-v1", 0), service("full", split("full-v1", 100)))
	client := manyClients(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if code, _ := b.get(client, "full", "/"); code != 200 {
				t.Errorf("a held request got %d", code)
			}
		})
	}
	b.waitHeld("full-v1", 5)
	request, _ := http.NewRequest(http.MethodGet, b.gateway, nil)
	request.Host = "full.default.localhost"
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Fatalf("got %d, Retry-After %q", response.StatusCode, response.Header.Get("Retry-After"))
	}
	b.startReplica("full-v1", hello("ok"))
	wg.Wait()
}

func TestABodyOf8MiBArrivesWholeAsTheFirstRequest(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("post-v1", 0), service("post", split("post-v1", 100)))
	b.scaler.wake = func(key model.Key) {
		b.startReplica(key.Name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := sha256.New()
			n, _ := io.Copy(h, r.Body)
			fmt.Fprintf(w, "%d %x", n, h.Sum(nil))
		}))
	}
	for _, chunked := range []bool{false, true} {
		body := bytes.Repeat([]byte("0123456789abcdef"), 8<<20/16)
		var reader io.Reader = bytes.NewReader(body)
		if chunked {
			reader = io.MultiReader(reader)
		}
		request, _ := http.NewRequest(http.MethodPost, b.gateway, reader)
		request.Host = "post.default.localhost"
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if want := fmt.Sprintf("%d %x", len(body), sha256.Sum256(body)); string(got) != want {
			t.Fatalf("chunked %v: got %d %q", chunked, response.StatusCode, got)
		}
	}
}

func TestARevisionThatFailedForGoodAnswersAtOnceAndSaysWhy(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("bad-v1", 0), service("bad", split("bad-v1", 100)))
	answered := make(chan string, 1)
	go func() {
		code, body := b.get(http.DefaultClient, "bad", "/")
		answered <- fmt.Sprint(code, " ", body)
	}()
	b.waitHeld("bad-v1", 1)
	b.plane.Store.Write(func(tx *store.Tx) {
		r, _ := tx.Revision(model.Key{Namespace: "default", Name: "bad-v1"})
		spec := r.Revision
		spec.Failed = "image shop:v4 cannot be had"
		tx.SetRevision(spec)
	})
	if got := <-answered; !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "image shop:v4 cannot be had") {
		t.Fatalf("held: got %q", got)
	}
	if code, body := b.get(http.DefaultClient, "bad", "/"); code != 503 || !strings.Contains(body, "image shop:v4 cannot be had") {
		t.Fatalf("later: got %d %q", code, body)
	}
}

func TestAHoldEndsAtItsLimitAndSaysSo(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), service("slow", split("slow-v1", 100)), func(tx *store.Tx) {
		tx.SetRevision(model.Revision{
			Key: model.Key{Namespace: "default", Name: "slow-v1"}, Protocol: model.HTTP1, ServiceAccount: "default",
			Timeouts: model.Timeouts{Request: 300 * time.Second, ResponseStart: time.Second}, Probe: &model.Probe{Kind: model.ProbeTCP},
		})
	})
	began := time.Now()
	code, body := b.get(http.DefaultClient, "slow", "/")
	if code != 503 || !strings.Contains(body, "not ready within 1s") {
		t.Fatalf("got %d %q", code, body)
	}
	if took := time.Since(began); took < time.Second {
		t.Fatalf("ended after %s, before its limit", took)
	}
}

func TestConcurrencyIsNeverExceeded(t *testing.T) {
	for _, limit := range []int{1, 10} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			b := newBed(t, hold.DefaultSettings(), revision("cc-v1", uint32(limit)), service("cc", split("cc-v1", 100)))
			client := manyClients(t)
			var most atomic.Int64
			b.scaler.wake = func(key model.Key) {
				for range 2 {
					var now atomic.Int64
					b.startReplica(key.Name, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
						at := now.Add(1)
						defer now.Add(-1)
						for {
							old := most.Load()
							if at <= old || most.CompareAndSwap(old, at) {
								break
							}
						}
						time.Sleep(20 * time.Millisecond)
					}))
				}
			}
			var wg sync.WaitGroup
			for range 60 {
				wg.Go(func() {
					for range 2 {
						if code, body := b.get(client, "cc", "/"); code != 200 {
							t.Errorf("got %d %q", code, body)
						}
					}
				})
			}
			wg.Wait()
			if int(most.Load()) > limit {
				t.Fatalf("%d requests at once in one replica, the limit is %d", most.Load(), limit)
			}
		})
	}
}

func TestColdShareOfASplitIsHeldAlone(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("mix-v1", 0), revision("mix-v2", 0),
		service("mix", split("mix-v1", 80), split("mix-v2", 20)))
	client := manyClients(t)
	b.startReplica("mix-v1", hello("v1"))
	// The warm share alone answers until the cold one is asked for.
	var v1, v2 atomic.Int64
	var wg sync.WaitGroup
	const n = 400
	for range n {
		wg.Go(func() {
			switch code, body := b.get(client, "mix", "/"); {
			case code == 200 && body == "v1":
				v1.Add(1)
			case code == 200 && body == "v2":
				v2.Add(1)
			default:
				t.Errorf("got %d %q", code, body)
			}
		})
	}
	key := model.Key{Namespace: "default", Name: "mix-v2"}
	deadline := time.Now().Add(20 * time.Second)
	for int64(b.plane.Hold.Held(key))+v1.Load() < n {
		if time.Now().After(deadline) {
			t.Fatalf("%d answered by v1, %d held for v2, want %d together", v1.Load(), b.plane.Hold.Held(key), n)
		}
		time.Sleep(time.Millisecond)
	}
	held := b.plane.Hold.Held(key)
	if held < n/10 || held > n*3/10 {
		t.Fatalf("%d of %d held, want about a fifth", held, n)
	}
	b.startReplica("mix-v2", hello("v2"))
	wg.Wait()
	if int(v2.Load()) != held {
		t.Fatalf("%d were held for v2, %d reached it", held, v2.Load())
	}
}

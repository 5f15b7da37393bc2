package xds_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ebb.dev/ebb/xds/drain"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// steady asks a service at a pace, give or take half, until stopped, and counts failures.
func (b *bed) steady(name string, pace time.Duration) (stop func() (asked, failed int64)) {
	client := manyClients(b.t.(*testing.T))
	var asked, failed atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			wg.Go(func() {
				asked.Add(1)
				if code, body := b.get(client, name, "/"); code != 200 {
					failed.Add(1)
					b.t.Errorf("got %d %q", code, body)
				}
			})
			select {
			case <-time.After(pace/2 + rand.N(pace)):
			case <-ctx.Done():
			}
		}
	})
	return func() (int64, int64) {
		cancel()
		wg.Wait()
		return asked.Load(), failed.Load()
	}
}

// sleep takes a revision to zero the way the autoscaler does: gateways hold, flights end, the replicas go. It reports false when requests
// came meanwhile.
func (b *bed) sleep(key model.Key) bool {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	d := drain.New(b.plane.Store, b.plane.Gateways, b.plane.Loads, b.plane.Hold, time.Now, slog.New(slog.DiscardHandler))
	err := d.Empty(ctx, key, func(context.Context) error {
		b.plane.Store.Write(func(tx *store.Tx) {
			for _, replica := range tx.ReplicasOf(key) {
				tx.DeleteReplica(replica.Pod)
			}
		})
		return nil
	})
	if err != nil && !errors.Is(err, drain.ErrDemand) {
		b.t.Fatal(err)
	}
	return err == nil
}

func TestNoRequestFailsInFiftyCyclesOfZeroToNToZero(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("cycle-v1", 10), service("cycle", split("cycle-v1", 100)))
	key := model.Key{Namespace: "default", Name: "cycle-v1"}
	var mu sync.Mutex
	wake := func(model.Key) {
		mu.Lock()
		defer mu.Unlock()
		if len(b.plane.Store.Read().ReplicasOf(key)) == 0 {
			for range 3 {
				b.startReplica(key.Name, hello("ok"))
			}
		}
	}
	b.scaler.wake = wake
	stop := b.steady("cycle", 200*time.Millisecond)
	cycles := 50
	if testing.Short() {
		cycles = 5
	}
	slept := 0
	for slept < cycles {
		for !ready(b, key) {
			if b.plane.Hold.Waiting(key) {
				wake(key)
			}
			time.Sleep(time.Millisecond)
		}
		if b.sleep(key) {
			slept++
		}
	}
	// A request that was held while the last replicas went is still to be answered.
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
			if !ready(b, key) && b.plane.Hold.Waiting(key) {
				wake(key)
			}
		}
	}()
	asked, failed := stop()
	close(ended)
	t.Logf("%d requests in %d cycles, %d failed", asked, slept, failed)
}

func ready(b *bed, key model.Key) bool {
	for _, replica := range b.plane.Store.Read().ReplicasOf(key) {
		if replica.Ready() {
			return true
		}
	}
	return false
}

func TestTrafficMovesBetweenRevisionsWithoutAFailedRequest(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("move-v1", 0), revision("move-v2", 0), service("move", split("move-v1", 100)))
	b.scaler.wake = func(key model.Key) { b.startReplica(key.Name, hello(key.Name)) }
	stop := b.steady("move", 3*time.Millisecond)
	for i := range 20 {
		weight := uint32(i * 5)
		b.plane.Store.Write(service("move", split("move-v1", 100-weight), split("move-v2", weight)))
		time.Sleep(20 * time.Millisecond)
	}
	asked, failed := stop()
	t.Logf("%d requests, %d failed", asked, failed)
}

func TestRepliesDuringAScaleDownAreComplete(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("down-v1", 0), service("down", split("down-v1", 100)))
	key := model.Key{Namespace: "default", Name: "down-v1"}
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(30 * time.Millisecond)
		fmt.Fprint(w, "ok")
	})
	var pods []model.Key
	for range 4 {
		pods = append(pods, b.startReplica("down-v1", slow))
	}
	if code, _ := b.get(http.DefaultClient, "down", "/"); code != 200 {
		t.Fatalf("got %d", code)
	}
	stop := b.steady("down", 2*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, pod := range pods[:3] {
		b.plane.Store.Write(func(tx *store.Tx) {
			tx.ChangeReplica(pod, func(r *store.Replica) { r.Draining = true })
		})
		if err := b.plane.Gateways.Drained(ctx, key); err != nil {
			t.Fatal(err)
		}
		since := time.Now()
		for {
			active, ok, changed := b.plane.Loads.InFlight("node/n1/0", pod, since)
			if ok && active == 0 {
				break
			}
			<-changed
		}
		b.stopReplica(pod)
	}
	asked, failed := stop()
	t.Logf("%d requests, %d failed", asked, failed)
}

func TestARestartedControlPlaneDisturbsNobody(t *testing.T) {
	prepare := []func(*store.Tx){revision("keep-v1", 0), service("keep", split("keep-v1", 100)), revision("cold-v1", 0), service("cold", split("cold-v1", 100))}
	b := newBed(t, hold.DefaultSettings(), prepare...)
	b.startReplica("keep-v1", hello("ok"))
	if code, body := b.get(http.DefaultClient, "keep", "/"); code != 200 {
		t.Fatalf("got %d %q", code, body)
	}
	stop := b.steady("keep", 3*time.Millisecond)
	// A request is held while the control plane goes.
	answered := make(chan string, 1)
	go func() {
		code, body := b.get(http.DefaultClient, "cold", "/")
		answered <- fmt.Sprint(code, " ", body)
	}()
	b.waitHeld("cold-v1", 1)
	world := b.plane.Store.Read()
	b.stop()
	<-b.done
	time.Sleep(500 * time.Millisecond)
	var port uint32
	if _, err := fmt.Sscanf(b.gateway, "http://127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	// A restart reads the world again before it serves.
	b.start(port, hold.DefaultSettings(), append(prepare, func(tx *store.Tx) {
		for _, replica := range world.Replicas() {
			again := *replica
			again.Programmed = false
			tx.SetReplica(&again)
		}
	})...)
	b.waitHeld("cold-v1", 1)
	b.startReplica("cold-v1", hello("awake"))
	if got := <-answered; got != "200 awake" {
		t.Errorf("the held request got %q", got)
	}
	asked, failed := stop()
	t.Logf("%d requests, %d failed", asked, failed)
}

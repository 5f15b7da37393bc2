package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// tellVariable makes the app say when it listens, receiptsVariable when it has got an event.
const (
	tellVariable     = "BENCH_TELL"
	receiptsVariable = "BENCH_RECEIPTS"
)

// Starts hears when apps listen, from the apps themselves, and when bare pods are created.
type Starts struct {
	mu sync.Mutex
	// created and listening are those since Forget, in order.
	created, listening []time.Time
	changed            chan struct{}
}

// hear opens the ports that apps tell.
func (b *Bed) hear(ctx context.Context) error {
	nodes, err := b.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	host := ""
	for _, node := range nodes.Items {
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				host = address.Address
			}
		}
	}
	if host == "" {
		return errors.New("the node has no address that pods could tell")
	}
	conn, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		return fmt.Errorf("listen for apps: %w", err)
	}
	receipts, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		return errors.Join(fmt.Errorf("listen for receipts: %w", err), conn.Close())
	}
	b.NodeAddress = host
	b.tells, b.Starts = conn, &Starts{changed: make(chan struct{})}
	go b.Starts.receive(conn)
	b.receipts, b.Receipts = receipts, newReceipts()
	go b.Receipts.receive(receipts)
	return nil
}

func (s *Starts) receive(conn net.PacketConn) {
	name := make([]byte, 256)
	for {
		if _, _, err := conn.ReadFrom(name); err != nil {
			return // it was closed
		}
		s.mu.Lock()
		s.listening = append(s.listening, time.Now())
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
	}
}

// WatchBare learns when bare pods are created, until the context ends.
func (b *Bed) WatchBare(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(b.Kube, 0, informers.WithNamespace(Bare))
	pods := factory.Core().V1().Pods().Informer()
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) {
		b.Starts.mu.Lock()
		defer b.Starts.mu.Unlock()
		b.Starts.created = append(b.Starts.created, time.Now())
	}})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced) {
		return context.Cause(ctx)
	}
	return nil
}

// Forget begins anew.
func (s *Starts) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.created, s.listening = nil, nil
}

// Created returns when the first bare pod was created since Forget; zero if none was.
func (s *Starts) Created() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.created) == 0 {
		return time.Time{}
	}
	return s.created[0]
}

// Listening returns when n apps listened since Forget, once so many do.
func (s *Starts) Listening(ctx context.Context, n int) ([]time.Time, error) {
	for {
		s.mu.Lock()
		listening, changed := append([]time.Time(nil), s.listening...), s.changed
		s.mu.Unlock()
		if len(listening) >= n {
			return listening[:n], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d apps listen: %w", len(listening), n, context.Cause(ctx))
		}
	}
}

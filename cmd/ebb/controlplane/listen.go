package controlplane

import (
	"context"
	"errors"
	"net"
	"sync"

	"ebb.dev/ebb/cmd/ebb/serve"
)

// listenAll opens several addresses as one listener.
func listenAll(ctx context.Context, addresses []string) (net.Listener, error) {
	if len(addresses) == 1 {
		return serve.Listen(ctx, addresses[0])
	}
	j := &joined{accepted: make(chan accepted), closed: make(chan struct{})}
	for _, address := range addresses {
		listener, err := serve.Listen(ctx, address)
		if err != nil {
			return nil, errors.Join(err, j.Close())
		}
		j.listeners = append(j.listeners, listener)
	}
	if len(j.listeners) == 0 {
		return nil, errors.New("--listen: give at least one address")
	}
	for _, listener := range j.listeners {
		go j.accept(listener)
	}
	return j, nil
}

// joined accepts from several listeners. The first that fails fails all.
type joined struct {
	listeners []net.Listener
	accepted  chan accepted
	closing   sync.Once
	closed    chan struct{}
}

type accepted struct {
	conn net.Conn
	err  error
}

func (j *joined) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		select {
		case j.accepted <- accepted{conn, err}:
		case <-j.closed:
			if conn != nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			return
		}
	}
}

// Accept implements net.Listener.
func (j *joined) Accept() (net.Conn, error) {
	select {
	case a := <-j.accepted:
		return a.conn, a.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (j *joined) Close() error {
	j.closing.Do(func() { close(j.closed) })
	var errs []error
	for _, listener := range j.listeners {
		errs = append(errs, listener.Close())
	}
	return errors.Join(errs...)
}

// Addr implements net.Listener: the first address.
func (j *joined) Addr() net.Addr { return j.listeners[0].Addr() }

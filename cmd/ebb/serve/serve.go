package serve

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Listen opens "host:port" or "unix:PATH". A socket that an earlier process left at PATH is replaced.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	network, where := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, where = "unix", path
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("clear %s: %w", path, err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, network, where)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener, nil
}

// headerTimeout bounds reading the head of a request.
const headerTimeout = 10 * time.Second

// Options say how HTTP serves. The zero value serves plain HTTP/1.1 and ends at once.
type Options struct {
	// Grace is how long requests under way may take once the context has ended; zero breaks them off.
	Grace time.Duration
	// TLS serves HTTPS with it; nil serves plain HTTP. It has a certificate or says how to get one.
	TLS *tls.Config
	// PlainHTTP2 serves HTTP/2 without TLS too, to clients that know that it does.
	PlainHTTP2 bool
}

// HTTP serves on a listener until the context ends or the listener fails, and closes it.
func HTTP(ctx context.Context, listener net.Listener, handler http.Handler, o Options) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, TLSConfig: o.TLS}
	if o.PlainHTTP2 {
		server.Protocols = &http.Protocols{}
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetUnencryptedHTTP2(true)
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		end(ctx, server, o.Grace)
	})
	serve := func() error { return server.Serve(listener) }
	if o.TLS != nil {
		serve = func() error { return server.ServeTLS(listener, "", "") }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		stop()
		server.Close()
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	<-closed
	return nil
}

// end waits for requests under way as long as they may take, then breaks them off.
func end(ctx context.Context, server *http.Server, grace time.Duration) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if grace <= 0 || server.Shutdown(within) != nil {
		server.Close()
	}
}

// ListenHTTP serves on an address, as Listen and HTTP do.
func ListenHTTP(ctx context.Context, address string, handler http.Handler, o Options) error {
	listener, err := Listen(ctx, address)
	if err != nil {
		return err
	}
	return HTTP(ctx, listener, handler, o)
}

// JSON answers with a value, indented for people. One that cannot be written as JSON is a 500.
func JSON(w http.ResponseWriter, value any) {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The client is gone if this fails.
	_, _ = w.Write(append(data, '\n'))
}

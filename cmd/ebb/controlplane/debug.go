package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ebb.dev/ebb/autoscale/scale"
	"ebb.dev/ebb/xds"
	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/phases"
)

// listen opens "host:port" or "unix:PATH".
func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	network, where := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, where = "unix", path
		if err := removeSocket(path); err != nil {
			return nil, err
		}
	}
	listener, err := config.Listen(ctx, network, where)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener, nil
}

// debug serves what a person or a probe looks at. It shows no secret.
func debug(registry prometheus.Gatherer, plane *xds.Plane, engine *scale.Engine, wakes *phases.Recorder, ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /debug/xds", func(w http.ResponseWriter, _ *http.Request) {
		out := map[string][]cache.State{}
		for _, id := range plane.Cache.Proxies() {
			out[id] = plane.Cache.Proxy(id).Describe()
		}
		writeJSON(w, out)
	})
	mux.HandleFunc("GET /debug/replicas", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, plane.Store.Read().Replicas()) })
	mux.HandleFunc("GET /debug/vhosts", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, plane.Store.Read().VHosts()) })
	mux.HandleFunc("GET /debug/revisions", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, plane.Store.Read().Revisions()) })
	mux.HandleFunc("GET /debug/hold", func(w http.ResponseWriter, _ *http.Request) {
		held := map[string]int{}
		for _, key := range plane.Hold.Revisions() {
			held[key.String()] = plane.Hold.Held(key)
		}
		writeJSON(w, held)
	})
	mux.HandleFunc("GET /debug/wakes", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, wakes.Wakes()) })
	mux.HandleFunc("GET /debug/autoscale", func(w http.ResponseWriter, r *http.Request) {
		revisions := engine.Revisions()
		if name := r.URL.Query().Get("revision"); name != "" {
			key, err := model.ParseKey(name)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			revisions = []scale.Revision{revisionOf(key)}
		}
		out := []scale.Snapshot{}
		for _, revision := range revisions {
			if snapshot, ok := engine.Snapshot(revision); ok {
				out = append(out, snapshot)
			}
		}
		sort.Slice(out, func(i, j int) bool { return out[i].Revision.String() < out[j].Revision.String() })
		writeJSON(w, out)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// The client is gone if this fails.
	_ = encoder.Encode(value)
}

func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

package controlplane

import (
	"fmt"
	"net/http"
	"sort"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ebb.dev/ebb/autoscale/scale"
	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/xds"
	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/phases"
)

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
		serve.JSON(w, out)
	})
	mux.HandleFunc("GET /debug/replicas", func(w http.ResponseWriter, _ *http.Request) { serve.JSON(w, plane.Store.Read().Replicas()) })
	mux.HandleFunc("GET /debug/vhosts", func(w http.ResponseWriter, _ *http.Request) { serve.JSON(w, plane.Store.Read().VHosts()) })
	mux.HandleFunc("GET /debug/revisions", func(w http.ResponseWriter, _ *http.Request) { serve.JSON(w, plane.Store.Read().Revisions()) })
	mux.HandleFunc("GET /debug/hold", func(w http.ResponseWriter, _ *http.Request) {
		held := map[string]int{}
		for _, key := range plane.Hold.Revisions() {
			held[key.String()] = plane.Hold.Held(key)
		}
		serve.JSON(w, held)
	})
	mux.HandleFunc("GET /debug/wakes", func(w http.ResponseWriter, _ *http.Request) { serve.JSON(w, wakes.Wakes()) })
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
		serve.JSON(w, out)
	})
	return mux
}

package broker

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ebb.dev/ebb/cmd/ebb/serve"
)

// debug serves what a person or a probe looks at.
func (p *process) debug() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !p.ready.Load() {
			http.Error(w, "the world is not read yet", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /debug/readers", func(w http.ResponseWriter, _ *http.Request) {
		serve.JSON(w, p.dispatcher.Snapshot())
	})
	mux.HandleFunc("GET "+GraphPath, p.graph)
	p.events().routes(mux)
	p.asyncRoutes(mux)
	return mux
}

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
	events := http.NewServeMux()
	p.events().routes(events)
	mux.Handle("/events/", p.knowing(events))
	p.asyncRoutes(mux)
	return mux
}

// knowing has requests wait until all is known that was there before this process began: an answer before would deny what there is.
func (p *process) knowing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-p.expected:
		case <-r.Context().Done():
			return
		}
		if p.streams.Wait(r.Context()) == nil {
			next.ServeHTTP(w, r)
		}
	})
}

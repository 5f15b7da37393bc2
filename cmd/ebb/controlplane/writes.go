package controlplane

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// writes counts what this control plane writes to the API: what a Service costs the API server.
type writes struct{ total *prometheus.CounterVec }

func newWrites() *writes {
	return &writes{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ebb_api_writes_total", Help: "Requests to the Kubernetes API that change something, by method and resource.",
	}, []string{"method", "resource"})}
}

// count wraps a transport to the API.
func (w *writes) count(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		switch request.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
		default:
			w.total.WithLabelValues(request.Method, resourceOf(request.URL.Path)).Inc()
		}
		return next.RoundTrip(request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// resourceOf reads "resource" or "resource/subresource" off a path of the API: /api/V/... or /apis/GROUP/V/..., with or
// without namespaces/NAME, then RESOURCE, NAME and SUBRESOURCE.
func resourceOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	skip := 3
	if parts[0] == "api" {
		skip = 2
	}
	if len(parts) <= skip {
		return "other"
	}
	parts = parts[skip:]
	// A namespace's own path has two parts, and three with a subresource of its own.
	if parts[0] == "namespaces" && len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
		parts = parts[2:]
	}
	if len(parts) > 2 {
		return parts[0] + "/" + parts[2]
	}
	return parts[0]
}

package broker

import (
	"errors"
	"net/http"
	"strconv"

	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/eventing/async"
	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/model"
)

// asyncListed bounds a list of requests.
const asyncListed = 1000

// asyncRoutes serve the requests that are answered later to whoever administers the platform.
func (p *process) asyncRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /async", p.withEngine(func(w http.ResponseWriter, r *http.Request, e *async.Engine) {
		q := r.URL.Query()
		most, err := strconv.Atoi(q.Get("last"))
		if err != nil || most < 1 || most > asyncListed {
			most = asyncListed
		}
		out := []async.Status{}
		for _, record := range e.List(async.Want{Namespace: q.Get("namespace"), Service: q.Get("service"), State: request.State(q.Get("state")), Most: most}) {
			out = append(out, async.Describe(record))
		}
		serve.JSON(w, out)
	}))
	for name, act := range map[string]func(*async.Engine, *http.Request, model.Key, string) (request.Record, error){
		"retry": func(e *async.Engine, r *http.Request, service model.Key, id string) (request.Record, error) {
			return e.Again(r.Context(), service, id)
		},
		"cancel": func(e *async.Engine, r *http.Request, service model.Key, id string) (request.Record, error) {
			return e.Cancel(r.Context(), service, id)
		},
	} {
		mux.HandleFunc("POST /async/{namespace}/{service}/{id}/"+name, p.withEngine(func(w http.ResponseWriter, r *http.Request, e *async.Engine) {
			record, err := act(e, r, model.Key{Namespace: r.PathValue("namespace"), Name: r.PathValue("service")}, r.PathValue("id"))
			switch {
			case errors.Is(err, async.ErrUnknown):
				http.Error(w, err.Error(), http.StatusNotFound)
			case err != nil:
				http.Error(w, err.Error(), http.StatusConflict)
			default:
				serve.JSON(w, async.Describe(record))
			}
		}))
	}
}

// withEngine answers 503 until the stored requests are read.
func (p *process) withEngine(f func(http.ResponseWriter, *http.Request, *async.Engine)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e := p.later.Load()
		if e == nil {
			http.Error(w, "the stored requests are not read yet", http.StatusServiceUnavailable)
			return
		}
		f(w, r, e)
	}
}

package broker

import (
	"net/http"

	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/eventing/graph"
	"ebb.dev/ebb/eventing/model"
)

// GraphPath leads to who sends to whom, a graph.Graph.
const GraphPath = "/debug/graph"

// graph shows who sends to whom, since the process began.
func (p *process) graph(w http.ResponseWriter, _ *http.Request) {
	serve.JSON(w, graph.Build(p.streams.All(), p.dispatcher.Snapshot(), p.senders.All()))
}

// forget drops what is counted for a stream that is gone.
func (p *process) forget(s model.Stream) {
	p.ingress.Forget(s)
	p.senders.Forget(s.ID)
}

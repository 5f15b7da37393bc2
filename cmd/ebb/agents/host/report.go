package host

import (
	"context"
	"log/slog"
	"time"

	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/agent/agentpb"
)

// Reporter streams what the node knows of pods to the control plane. A report that cannot be sent is of no use later:
// the API server will have told the same.
type Reporter struct {
	agent   *agent.Agent
	pending chan *agentpb.PodReport
	log     *slog.Logger
}

// NewReporter makes a Reporter, which tells nothing before Run.
func NewReporter(a *agent.Agent, log *slog.Logger) *Reporter {
	return &Reporter{agent: a, pending: make(chan *agentpb.PodReport, 4096), log: log}
}

// Report queues a report; it never blocks.
func (r *Reporter) Report(report *agentpb.PodReport) {
	select {
	case r.pending <- report:
	default:
		r.log.Warn("report of a pod dropped: too many wait", "pod", report.GetNamespace()+"/"+report.GetName())
	}
}

// Run streams until the context ends.
func (r *Reporter) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		stream, err := agentpb.NewNodeClient(r.agent.Conn()).Report(ctx)
		for err == nil {
			select {
			case report := <-r.pending:
				err = stream.Send(report)
			case <-ctx.Done():
				return nil
			}
		}
		timer := time.NewTimer(200 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return nil
}

package agents

import (
	"context"
	"log/slog"
	"time"

	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/agent/agentpb"
)

// reporter streams what the node knows of pods to the control plane. A report that cannot be sent is of no use later:
// the API server will have told the same.
type reporter struct {
	agent   *agent.Agent
	pending chan *agentpb.PodReport
	log     *slog.Logger
}

func newReporter(a *agent.Agent, log *slog.Logger) *reporter {
	return &reporter{agent: a, pending: make(chan *agentpb.PodReport, 4096), log: log}
}

// report queues a report; it never blocks.
func (r *reporter) report(report *agentpb.PodReport) {
	select {
	case r.pending <- report:
	default:
		r.log.Warn("report of a pod dropped: too many wait", "pod", report.GetNamespace()+"/"+report.GetName())
	}
}

func (r *reporter) run(ctx context.Context) error {
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

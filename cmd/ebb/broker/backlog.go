package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/util/wait"

	"ebb.dev/ebb/cmd/ebb/agents"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/identity"
)

const (
	// backlogEvery is how often the autoscaler is told what waits while anything does, backlogIdle how often one looks while nothing does; what
	// begins to wait for a Trigger is told at once, but not more often than every backlogLeast.
	backlogEvery, backlogIdle, backlogLeast = 250 * time.Millisecond, time.Second, 20 * time.Millisecond
	// backlogAgain is how long the control plane is left alone that could not be reached.
	backlogAgain = time.Second
)

// tellBacklogs tells the control plane's autoscaler what waits, until the context ends. Events are delivered whether it hears of them or not.
func (p *process) tellBacklogs(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := p.tellControlPlane(ctx); ctx.Err() == nil {
			p.Log.Warn("the autoscaler does not hear what waits, tried again", "controlPlane", p.ControlPlane, "error", err)
		}
	}, backlogAgain)
	return nil
}

// tellControlPlane proves who this is and streams until the context ends. An error says that it could not begin.
func (p *process) tellControlPlane(ctx context.Context) error {
	token, err := agents.Token(p.TokenFile, p.Kubeconfig, identity.DefaultAccounts().Broker, "")
	if err != nil {
		return err
	}
	a, err := agent.New(agent.Options{
		ControlPlane: p.ControlPlane, TrustDomain: p.TrustDomain, TrustFile: p.TrustFile, Token: token, Log: p.Log,
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			p.Log.Error("the agent that proves who this is has ended", "error", err)
		}
	})
	select {
	case <-a.Ready():
	case <-ctx.Done():
		return nil
	}
	// A control plane that restarts: the certificate is good, and the connection comes back by itself.
	client := agentpb.NewAutoscalerClient(a.Conn())
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := p.stream(ctx, client); ctx.Err() == nil {
			p.Log.Debug("the autoscaler does not hear what waits", "controlPlane", p.ControlPlane, "error", err)
		}
	}, backlogAgain)
	return nil
}

// stream tells what waits, as long as anything does and once when nothing does any more.
func (p *process) stream(ctx context.Context, client agentpb.AutoscalerClient) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	stream, err := client.Backlogs(ctx, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("tell what waits: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.RecvMsg(&agentpb.BacklogSummary{}) }()
	var told time.Time
	spoken := false
	look := time.NewTimer(backlogEvery)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("tell what waits: %w", err)
		case <-look.C:
		case <-p.dispatcher.Crowded():
			if time.Since(told) < backlogLeast {
				continue
			}
		}
		report := &agentpb.BacklogReport{Backlogs: hostsOf(p.backlogs())}
		waits := len(report.GetBacklogs()) > 0
		pause := backlogIdle
		if waits {
			pause = backlogEvery
		}
		look.Reset(pause)
		if !waits && !spoken {
			continue
		}
		if err := stream.Send(report); err != nil {
			return fmt.Errorf("tell what waits: %w", errors.Join(err, <-ended))
		}
		told, spoken = time.Now(), waits
	}
}

// backlogs is what waits anywhere in this process.
func (p *process) backlogs() []model.Backlog {
	all := append(p.dispatcher.Backlogs(), p.kafkaRunner.Backlogs()...)
	if later := p.later.Load(); later != nil {
		all = append(all, later.Backlogs(func(key model.Key) string {
			return "http://" + key.Name + "." + key.Namespace + ".svc." + p.ClusterDomain
		})...)
	}
	return all
}

// hostsOf is what the control plane is told: it knows hosts, not URLs. What waits for the same host is added up.
func hostsOf(all []model.Backlog) []*agentpb.Backlog {
	hosts := map[string]*agentpb.Backlog{}
	for _, b := range all {
		u, err := url.Parse(b.URL)
		if err != nil || u.Hostname() == "" || b.Waiting == 0 {
			continue
		}
		name := strings.ToLower(u.Hostname())
		if hosts[name] == nil {
			hosts[name] = &agentpb.Backlog{Host: name}
		}
		h := hosts[name]
		h.Waiting += float64(b.Waiting)
		h.AtOnce += float64(b.AtOnce)
		h.Due += float64(b.Due)
		h.PerSecond += b.PerSecond
	}
	return slices.SortedFunc(maps.Values(hosts), func(a, b *agentpb.Backlog) int { return cmp.Compare(a.GetHost(), b.GetHost()) })
}

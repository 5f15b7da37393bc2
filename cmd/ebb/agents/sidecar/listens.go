package sidecar

import (
	"context"
	"net"
	"strconv"
	"time"

	"ebb.dev/ebb/xds/agent/agentpb"
)

const (
	// lookEvery is how long it may take to see that the app listens. What takes long is looked for less often: every lookShare-th part of the time that
	// it has taken, every lookSeldom at least: as an Envoy is asked (xds/envoy.CheckInterval), of which a sidecar knows nothing.
	lookEvery  = 2 * time.Millisecond
	lookShare  = 200
	lookSeldom = time.Second
	// answersWithin bounds a look: within a pod a connection is made or refused at once.
	answersWithin = time.Second
)

// sayWhenListening tells the control plane, once, that the app accepts connections. From then on Envoy is asked whether it answers, and not all the
// time until then: the sidecar runs long before the app does, and the word of an Envoy goes through two processes each time. Without this word the
// control plane goes by the pod's status.
func (o Options) sayWhenListening(ctx context.Context, report func(*agentpb.PodReport)) error {
	if o.AppPort == 0 {
		return nil
	}
	dialer, app := net.Dialer{Timeout: answersWithin}, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(o.AppPort)))
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		if conn, err := dialer.DialContext(ctx, "tcp4", app); err == nil {
			conn.Close()
			report(o.word(agentpb.PodReport_STARTED))
			return nil
		}
		timer.Reset(min(max(lookEvery, time.Since(begin)/lookShare), lookSeldom))
	}
}

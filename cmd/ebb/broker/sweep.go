package broker

import (
	"context"

	"k8s.io/utils/clock"

	"ebb.dev/ebb/eventing/sweep"
)

// sweep drops from the log what was deleted while no broker ran.
func (p *process) sweep(ctx context.Context) error {
	s := &sweep.Sweeper{Log: p.log, Objects: p.manager.GetAPIReader(), Logger: p.Log, Clock: clock.RealClock{}}
	s.Run(ctx)
	return nil
}

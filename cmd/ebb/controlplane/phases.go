package controlplane

import (
	"context"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/scale"
	"ebb.dev/ebb/xds/phases"
)

// timed tells the recorder of cold starts what the autoscaler does.
type timed struct {
	scale.Scaler
	phases *phases.Recorder
}

// SetReplicas implements scale.Scaler.
func (t timed) SetReplicas(ctx context.Context, revision scale.Revision, n int32) error {
	err := t.Scaler.SetReplicas(ctx, revision, n)
	if err == nil && n > 0 {
		t.phases.Reached(keyOf(revision), phases.Scaled)
	}
	return err
}

// decidedThen passes decisions on once they are noted.
func (t timed) decidedThen(next func(scale.Revision, decide.Decision)) func(scale.Revision, decide.Decision) {
	return func(revision scale.Revision, decision decide.Decision) {
		if decision.Desired > 0 {
			t.phases.Reached(keyOf(revision), phases.Decided)
		}
		next(revision, decision)
	}
}

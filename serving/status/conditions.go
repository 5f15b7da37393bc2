package status

import (
	"ebb.dev/ebb/crds/conditions"
)

// Begin opens the status of an object that is looked at. Until something is marked, a generation that was not looked at before is in doubt.
func Begin(m conditions.Manager, generation, observed int64) {
	m.Initialize()
	if generation != observed {
		m.MarkUnknown(conditions.Ready, "NewObservedGenFailure", "unsuccessfully observed a new generation")
	}
}

// PaceOf is the pace of most kinds: what is settled, one way or the other, is told now.
func PaceOf(ready *conditions.Condition) Pace {
	if ready.IsUnknown() {
		return Soon
	}
	return Now
}

package controlplane

import (
	"context"
	"log/slog"
	"time"

	"ebb.dev/ebb/xds/identity"
)

// tellAgain is after how long somebody is told of new roots again who could not be: a root is believed for a day before it signs.
const tellAgain = 10 * time.Second

// followRoots tells somebody of the roots whenever they have changed, until the context ends. They knew those whose change is the first.
func followRoots(ctx context.Context, ca *identity.CA, changed <-chan struct{}, log *slog.Logger, tell func(context.Context) error) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again:
		}
		_, changed = ca.Roots()
		again = nil
		if err := tell(ctx); err != nil && ctx.Err() == nil {
			log.Error("new roots not told yet", "error", err)
			again = time.After(tellAgain)
		}
	}
}

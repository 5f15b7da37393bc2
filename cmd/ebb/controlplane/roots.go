package controlplane

import (
	"context"
	"encoding/pem"
	"log/slog"
	"time"

	"ebb.dev/ebb/xds/identity"
)

// rootsPEM are the roots as who believes them reads them.
func rootsPEM(ca *identity.CA) []byte {
	roots, _ := ca.Roots()
	var out []byte
	for _, root := range roots {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})...)
	}
	return out
}

// tellAgain is after how long somebody is told of new roots again who could not be: a root is believed for a day before it signs.
const tellAgain = 10 * time.Second

// followRoots tells somebody of the roots whenever they have changed, until the context ends. They knew those whose change is the first.
func followRoots(ctx context.Context, ca *identity.CA, changed <-chan struct{}, log *slog.Logger, tell func(context.Context) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		_, changed = ca.Roots()
		for {
			err := tell(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			log.Error("new roots not told yet", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(tellAgain):
			}
		}
	}
}

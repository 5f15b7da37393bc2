package controlplane

// setupServing registers the reconcilers of the serving room.
func (c *controlPlane) setupServing() error { return nil }

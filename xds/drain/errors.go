package drain

import "errors"

// ErrDemand ends a drain because requests came for what was to go.
var ErrDemand = errors.New("requests came meanwhile")

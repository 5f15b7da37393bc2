package jetstream

import (
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/window"
)

// remember adds what was stored, by this process or another.
func remember(w *window.Events, c *commit) {
	for i, key := range c.keys {
		w.Add(key, c.first+log.Position(i), c.stored)
	}
	for i, b := range c.events[len(c.keys):] {
		if e, err := decodeEvent(b); err == nil {
			w.Add(log.IdentityOf(e), c.first+log.Position(len(c.keys)+i), c.stored)
		}
	}
}

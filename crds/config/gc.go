package config

import (
	"strconv"
	"strings"
	"time"
)

// GCName is the ConfigMap that ParseGC reads.
const GCName = "config-gc"

// NoLimit is the value of a limit that is "disabled".
const NoLimit = -1

// GC is what config-gc says of revisions that no route refers to. Treat it as immutable.
type GC struct {
	// RetainSinceCreateTime keeps a revision that is younger. NoLimit does not look at the age.
	RetainSinceCreateTime time.Duration
	// RetainSinceLastActiveTime keeps a revision that was referred to since. NoLimit does not look.
	RetainSinceLastActiveTime time.Duration
	// MinNonActiveRevisions are kept whatever their age.
	MinNonActiveRevisions int64
	// MaxNonActiveRevisions are kept at most, whatever their age. NoLimit keeps all that the times keep.
	MaxNonActiveRevisions int64
}

// ParseGC reads the data of config-gc.
func ParseGC(data map[string]string) (*GC, []string, error) {
	r := read(GCName, data)
	g := &GC{
		RetainSinceCreateTime:     48 * time.Hour,
		RetainSinceLastActiveTime: 15 * time.Hour,
		MinNonActiveRevisions:     20,
		MaxNonActiveRevisions:     1000,
	}
	r.limitedDuration(&g.RetainSinceCreateTime, "retain-since-create-time")
	r.limitedDuration(&g.RetainSinceLastActiveTime, "retain-since-last-active-time")
	r.whole(&g.MinNonActiveRevisions, "min-non-active-revisions")
	r.limitedCount(&g.MaxNonActiveRevisions, "max-non-active-revisions")
	if g.MinNonActiveRevisions < 0 {
		r.fail("min-non-active-revisions", "%d must not be negative", g.MinNonActiveRevisions)
	}
	if _, said := data["min-non-active-revisions"]; !said && g.MaxNonActiveRevisions != NoLimit {
		g.MinNonActiveRevisions = min(g.MinNonActiveRevisions, g.MaxNonActiveRevisions) // a low maximum alone is clear enough
	}
	if g.MaxNonActiveRevisions != NoLimit && g.MinNonActiveRevisions > g.MaxNonActiveRevisions {
		r.fail("min-non-active-revisions", "%d must not be more than max-non-active-revisions (%d); lower it or raise the maximum",
			g.MinNonActiveRevisions, g.MaxNonActiveRevisions)
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return g, warnings, nil
}

func isDisabled(s string) bool { return strings.EqualFold(s, "disabled") }

func (r *reader) limitedDuration(into *time.Duration, key string) {
	s, ok := r.value(key)
	if !ok || s == "" {
		return
	}
	if isDisabled(s) {
		*into = NoLimit
		return
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		r.fail(key, "%q is not a duration of 0s or more; write one such as \"48h\", or \"disabled\"", s)
		return
	}
	*into = d
}

func (r *reader) limitedCount(into *int64, key string) {
	s, ok := r.value(key)
	if !ok || s == "" {
		return
	}
	if isDisabled(s) {
		*into = NoLimit
		return
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		r.fail(key, "%q is not a whole number of 0 or more; write one such as \"1000\", or \"disabled\"", s)
		return
	}
	*into = n
}

package rollout

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rollout is where the traffic of a Route's latest-revision targets goes. Its zero value sends nothing anywhere.
type Rollout struct {
	// Configurations are sorted by tag, then by name.
	Configurations []Configuration `json:"configurations,omitempty"`
}

// Configuration is the share of one Configuration under one tag. Tag "" is the Route's own host.
type Configuration struct {
	Name string `json:"configurationName"`
	Tag  string `json:"tag,omitempty"`
	// Percent is the whole share, from 0 to 100: what the Revisions' add up to.
	Percent int `json:"percent"`
	// Revisions share it, the oldest first. With two or more of them traffic is on its way to the last.
	Revisions []Revision `json:"revisions,omitempty"`
	Steps     Steps      `json:"stepParams"`
}

// Revision is a share of the Route's traffic, in percent.
type Revision struct {
	Name    string `json:"revisionName"`
	Percent int    `json:"percent"`
}

// Steps say how traffic moves. All times are in nanoseconds, since 1970 where they are moments. Zero is not known yet.
type Steps struct {
	// Start is when the first percent was asked for.
	Start int64 `json:"starttime,omitempty"`
	// Next is when the next step is due, and Duration the time between two.
	Next     int64 `json:"nextStepTime,omitempty"`
	Duration int64 `json:"stepDuration,omitempty"`
	// Size is how much moves in a step, in percent.
	Size int `json:"stepSize,omitempty"`
}

// planned reports whether it is known how the rest of the traffic moves.
func (s Steps) planned() bool { return s.Size > 0 && s.Duration > 0 }

// Parse reads the annotation. One that makes no sense gives an error: the caller begins anew.
func Parse(annotation string) (Rollout, error) {
	var r Rollout
	if annotation == "" {
		return r, nil
	}
	if err := json.Unmarshal([]byte(annotation), &r); err != nil {
		return Rollout{}, fmt.Errorf("rollout: %w", err)
	}
	for i := range r.Configurations {
		if err := r.Configurations[i].check(); err != nil {
			return Rollout{}, fmt.Errorf("rollout: configuration %q, tag %q: %w", r.Configurations[i].Name, r.Configurations[i].Tag, err)
		}
	}
	r.sort()
	return r, nil
}

// Bounds of what is believed of an annotation.
const (
	farFuture   = 4_102_444_800_000_000_000 // the year 2100
	longestStep = 365 * 24 * time.Hour
)

func (c *Configuration) check() error {
	total := 0
	for _, r := range c.Revisions {
		if r.Percent < 0 || r.Percent > 100 {
			return fmt.Errorf("revision %q: %d percent", r.Name, r.Percent)
		}
		total += r.Percent
	}
	switch {
	case c.Percent < 0 || c.Percent > 100:
		return fmt.Errorf("%d percent", c.Percent)
	case c.Steps.Size < 0 || c.Steps.Size > c.Percent:
		return fmt.Errorf("steps of %d percent", c.Steps.Size)
	case c.Steps.Start < 0 || c.Steps.Next < 0 || c.Steps.Duration < 0:
		return errors.New("a time before 1970")
	case c.Steps.Start > farFuture || c.Steps.Next > farFuture || c.Steps.Duration > int64(longestStep):
		return errors.New("a time beyond this century")
	case total != c.Percent:
		return fmt.Errorf("the revisions add up to %d percent, not %d", total, c.Percent)
	}
	return nil
}

// String returns the annotation.
func (r Rollout) String() string {
	data, err := json.Marshal(r)
	if err != nil {
		panic("rollout: numbers and names cannot be written as JSON: " + err.Error())
	}
	return string(data)
}

// Done reports whether no traffic is on its way.
func (r Rollout) Done() bool {
	return !slices.ContainsFunc(r.Configurations, func(c Configuration) bool { return len(c.Revisions) > 1 })
}

// Find returns the share of a Configuration under a tag, nil if it has none.
func (r Rollout) Find(tag, configuration string) *Configuration {
	for i := range r.Configurations {
		if c := &r.Configurations[i]; c.Tag == tag && c.Name == configuration {
			return c
		}
	}
	return nil
}

// Add adds the share of a Configuration that goes to one Revision.
func (r *Rollout) Add(tag, configuration, revision string, percent int) {
	r.Configurations = append(r.Configurations, Configuration{
		Name: configuration, Tag: tag, Percent: percent, Revisions: []Revision{{revision, percent}},
	})
	r.sort()
}

func (r *Rollout) sort() {
	slices.SortStableFunc(r.Configurations, func(a, b Configuration) int {
		return cmp.Or(cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Name, b.Name))
	})
}

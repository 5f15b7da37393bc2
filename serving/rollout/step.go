package rollout

import (
	"math"
	"slices"
	"time"
)

// Step returns how goal is to be reached from before at time now, and when to step next: the zero time if nothing is on its way, or
// if that depends on the KIngress becoming ready first. In goal every share goes to one Revision.
func Step(goal, before Rollout, now time.Time) (Rollout, time.Time) {
	var out Rollout
	var next int64
	for _, g := range goal.Configurations {
		b := before.Find(g.Tag, g.Name)
		// One percent is no less than what a rollout begins with.
		if b == nil || g.Percent <= 1 {
			out.Configurations = append(out.Configurations, g)
			continue
		}
		c := step(g, *b, now.UnixNano())
		out.Configurations = append(out.Configurations, c)
		if t := c.Steps.Next; t > 0 && (next == 0 || t < next) {
			next = t
		}
	}
	out.sort()
	if next == 0 {
		return out, time.Time{}
	}
	return out, time.Unix(0, next)
}

// step returns how one Configuration's share moves on from before.
func step(goal, before Configuration, now int64) Configuration {
	revisions := rescale(before.Revisions, goal.Percent)
	if len(revisions) == 0 {
		return goal
	}
	wanted := goal.Revisions[0].Name
	if revisions[len(revisions)-1].Name != wanted {
		return begin(goal, revisions, now)
	}
	if len(revisions) == 1 {
		return goal
	}
	out := goal
	out.Revisions, out.Steps = revisions, before.Steps
	out.Steps.Size = min(out.Steps.Size, out.Percent)
	switch {
	case out.Steps.planned() && now >= out.Steps.Next:
		out.move(now)
	case !out.Steps.planned() && out.Steps.Start == 0: // somebody has edited the annotation
		out.Steps = Steps{Start: now}
	}
	return out
}

// rescale fits the shares of revisions, oldest first, to another total: what is more goes to the newest, what is less is taken from
// the oldest. Those that are left with nothing are left out.
func rescale(revisions []Revision, total int) []Revision {
	out := slices.Clone(revisions)
	sum := 0
	for _, r := range out {
		sum += r.Percent
	}
	if len(out) > 0 && total > sum {
		out[len(out)-1].Percent += total - sum
	}
	for i := range out {
		cut := min(out[i].Percent, max(0, sum-total))
		out[i].Percent -= cut
		sum -= cut
	}
	return slices.DeleteFunc(out, func(r Revision) bool { return r.Percent == 0 })
}

// begin gives the new Revision one percent, taken from the newest of the others. One that has a share already, because the user went
// back to it, keeps that.
func begin(goal Configuration, revisions []Revision, now int64) Configuration {
	wanted := Revision{Name: goal.Revisions[0].Name, Percent: 1}
	if i := slices.IndexFunc(revisions, func(r Revision) bool { return r.Name == wanted.Name }); i >= 0 {
		wanted = revisions[i]
		revisions = slices.Delete(revisions, i, i+1)
	} else {
		revisions[len(revisions)-1].Percent--
	}
	revisions = slices.DeleteFunc(revisions, func(r Revision) bool { return r.Percent == 0 })
	out := goal
	out.Revisions = append(revisions, wanted)
	out.Steps = Steps{Start: now}
	return out
}

// move takes one step: the newest Revision gets more, the others less, the newest of them first.
func (c *Configuration) move(now int64) {
	last := len(c.Revisions) - 1
	left := c.Steps.Size
	for i := last - 1; i >= 0 && left > 0; i-- {
		taken := min(left, c.Revisions[i].Percent)
		c.Revisions[i].Percent -= taken
		c.Revisions[last].Percent += taken
		left -= taken
	}
	c.Revisions = slices.DeleteFunc(c.Revisions, func(r Revision) bool { return r.Percent == 0 })
	c.Steps.Next = now + c.Steps.Duration
	if len(c.Revisions) == 1 {
		c.Steps = Steps{}
	}
}

// Without returns r without the Revisions that are gone. Their shares go to the newest that is left.
func (r Rollout) Without(gone func(revision string) bool) Rollout {
	out := Rollout{Configurations: slices.Clone(r.Configurations)}
	for i := range out.Configurations {
		c := &out.Configurations[i]
		c.Revisions = slices.DeleteFunc(slices.Clone(c.Revisions), func(r Revision) bool { return gone(r.Name) })
		c.Revisions = rescale(c.Revisions, c.Percent)
	}
	return out
}

// Observe notes that the KIngress is ready, at time now: the first percent has arrived, and from how long that took follows how fast
// the rest may. duration is that of the whole rollout. It returns r with the steps of those whose first percent has just arrived.
func (r Rollout) Observe(now time.Time, duration time.Duration) Rollout {
	out := Rollout{Configurations: slices.Clone(r.Configurations)}
	for i := range out.Configurations {
		c := &out.Configurations[i]
		if len(c.Revisions) > 1 && c.Steps.Start > 0 && !c.Steps.planned() {
			c.plan(now.UnixNano(), duration)
		}
	}
	return out
}

// plan spreads what is left over the time that is left: equal steps, none shorter than what the first percent took or than a second,
// none smaller than a percent.
func (c *Configuration) plan(now int64, duration time.Duration) {
	shortest := math.Max(1, math.Ceil(time.Duration(now-c.Steps.Start).Seconds()))
	seconds := math.Max(1, duration.Seconds()-shortest)
	left := math.Max(1, float64(c.Percent-1))
	steps := math.Min(left, math.Max(1, seconds/shortest))
	c.Steps.Duration = max(1, min(int64(longestStep), int64(seconds/steps*float64(time.Second))))
	c.Steps.Size = int(math.Round(left / steps))
	c.Steps.Next = now + c.Steps.Duration
}

package route

import (
	"maps"
	"slices"

	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/rollout"
)

// defaultTag is the Route's own host, where all targets are.
const defaultTag = ""

// target is a traffic target down to the Revision.
type target struct {
	tag           string
	configuration string // "" if the Revision has none
	revision      string
	latest        bool
	percent       int64
}

// traffic is where a Route's requests go.
type traffic struct {
	// byTag are the targets behind each host, one for each Revision, their shares adding up to 100.
	byTag map[string][]target
	// flat are the targets as the Route lists them.
	flat []target
}

// tags are those that have targets, sorted: the Route's own host first.
func (t traffic) tags() []string { return slices.Sorted(maps.Keys(t.byTag)) }

// badTarget is why traffic cannot be sent where the Route wants it.
type badTarget struct {
	// failure is one that waiting alone will not mend.
	failure bool
	// missing is a target that may appear any moment.
	missing bool
	mark    func(servingv1.RouteMarks)
}

// resolve finds what the Route's targets are. With a bad one among them there is no traffic; of several, the last failure is told.
func resolve(in Input) (traffic, *badTarget) {
	t := traffic{byTag: map[string][]target{}}
	var bad *badTarget
	for _, spec := range in.Route.Spec.Traffic {
		resolved, problem := in.target(spec)
		switch {
		case problem == nil:
			t.add(resolved)
		case bad == nil || problem.failure:
			bad = problem
		}
	}
	if bad != nil {
		return traffic{}, bad
	}
	for tag, targets := range t.byTag {
		t.byTag[tag] = consolidate(targets)
	}
	return t, nil
}

func (in Input) target(spec servingv1.TrafficTarget) (target, *badTarget) {
	resolved := target{tag: spec.Tag, latest: ptr.Deref(spec.LatestRevision, spec.RevisionName == ""), percent: ptr.Deref(spec.Percent, 0)}
	if spec.RevisionName == "" {
		return in.latest(resolved, spec.ConfigurationName)
	}
	r, problem := in.revision(spec.RevisionName)
	if problem != nil {
		return resolved, problem
	}
	// A Service's Route serves that Service's Revisions alone; one by itself serves any.
	if ours, theirs := in.Route.Labels[serving.ServiceLabelKey], r.Labels[serving.ServiceLabelKey]; ours != "" && ours != theirs {
		return resolved, &badTarget{failure: true, mark: func(m servingv1.RouteMarks) { m.RevisionNotOwned(r.Name, ours, theirs) }}
	}
	resolved.configuration = r.Labels[serving.ConfigurationLabelKey]
	if name := resolved.configuration; name != "" && in.Configurations[name] == nil {
		return resolved, missing("Configuration", name)
	}
	return in.ready(resolved, r)
}

// latest sends traffic to a Configuration's latest ready Revision.
func (in Input) latest(resolved target, name string) (target, *badTarget) {
	c := in.Configurations[name]
	if c == nil {
		return resolved, missing("Configuration", name)
	}
	resolved.configuration = name
	if c.Status.LatestReadyRevisionName == "" {
		if c.Status.GetCondition(servingv1.ConfigurationConditionReady).IsFalse() {
			return resolved, &badTarget{failure: true, mark: func(m servingv1.RouteMarks) { m.ConfigurationFailed(name) }}
		}
		return resolved, &badTarget{mark: func(m servingv1.RouteMarks) { m.ConfigurationNotReady(name) }}
	}
	r, problem := in.revision(c.Status.LatestReadyRevisionName)
	if problem != nil {
		return resolved, problem
	}
	return in.ready(resolved, r)
}

func (in Input) revision(name string) (*servingv1.Revision, *badTarget) {
	if r := in.Revisions[name]; r != nil {
		return r, nil
	}
	return nil, missing("Revision", name)
}

func missing(kind, name string) *badTarget {
	return &badTarget{failure: true, missing: true, mark: func(m servingv1.RouteMarks) { m.MissingTrafficTarget(kind, name) }}
}

func (in Input) ready(resolved target, r *servingv1.Revision) (target, *badTarget) {
	resolved.revision = r.Name
	switch {
	case r.IsReady():
		return resolved, nil
	case r.Status.GetCondition(servingv1.RevisionConditionReady).IsFalse():
		return resolved, &badTarget{failure: true, mark: func(m servingv1.RouteMarks) { m.RevisionFailed(r.Name) }}
	}
	return resolved, &badTarget{mark: func(m servingv1.RouteMarks) { m.RevisionNotReady(r.Name) }}
}

func (t *traffic) add(resolved target) {
	same := func(o target) bool {
		return o.tag == resolved.tag && o.revision == resolved.revision && o.latest == resolved.latest
	}
	if i := slices.IndexFunc(t.flat, same); i >= 0 {
		t.flat[i].percent += resolved.percent
	} else {
		t.flat = append(t.flat, resolved)
	}
	t.byTag[defaultTag] = append(t.byTag[defaultTag], resolved)
	if resolved.tag != defaultTag {
		t.byTag[resolved.tag] = append(t.byTag[resolved.tag], resolved)
	}
}

// consolidate joins targets of one Revision. An only one gets everything, as behind a tag without a share of its own.
func consolidate(targets []target) []target {
	var out []target
	for _, t := range targets {
		if i := slices.IndexFunc(out, func(o target) bool { return o.revision == t.revision }); i >= 0 {
			out[i].percent += t.percent
		} else {
			out = append(out, t)
		}
	}
	if len(out) == 1 {
		out[0].percent = 100
	}
	return out
}

// goal is the traffic of latest-Revision targets once every rollout is done.
func (t traffic) goal() rollout.Rollout {
	var goal rollout.Rollout
	for _, tag := range t.tags() {
		for _, target := range t.byTag[tag] {
			if target.latest && target.percent > 0 {
				goal.Add(tag, target.configuration, target.revision, int(target.percent))
			}
		}
	}
	return goal
}

// status lists the targets with their shares at this stage of the rollout.
func (t traffic) status(state rollout.Rollout, url func(tag string) string) []servingv1.TrafficTarget {
	var out []servingv1.TrafficTarget
	for _, target := range t.flat {
		shares := []rollout.Revision{{Name: target.revision, Percent: int(target.percent)}}
		if c := state.Find(target.tag, target.configuration); c != nil && target.latest && len(c.Revisions) > 1 {
			shares = c.Revisions
		}
		for _, share := range shares {
			s := servingv1.TrafficTarget{
				Tag: target.tag, RevisionName: share.Name, LatestRevision: ptr.To(target.latest), Percent: ptr.To(int64(share.Percent)),
			}
			if target.tag != defaultTag {
				s.URL = url(target.tag)
			}
			out = append(out, s)
		}
	}
	return out
}

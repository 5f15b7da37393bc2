package route

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/rollout"
	"ebb.dev/ebb/serving/status"
)

// Input is what a decision is made of. Objects that are not there are nil or left out.
type Input struct {
	// Route has its defaults.
	Route *servingv1.Route
	// Configurations and Revisions are those that the traffic refers to, and those that a rollout moves it away from, by name.
	Configurations map[string]*servingv1.Configuration
	Revisions      map[string]*servingv1.Revision
	Ingress        *networkingv1alpha1.Ingress
	// Services are those that have a name the Route wants, or that it made.
	Services []corev1.Service
	Config   *config.Set
	// Gateway is where the cluster reaches Ebb's gateway.
	Gateway string
	// ExternalPort is the gateway's for clients outside; 0 is the scheme's own.
	ExternalPort int32
	Now          time.Time
}

// Decision is what to do.
type Decision struct {
	Plan   apply.Plan
	Status servingv1.RouteStatus
	Pace   status.Pace
	// News are told with the status.
	News []apply.Event
	// Next is when a rollout takes its next step, the zero time if none does.
	Next time.Time
}

// Decide returns what a Route needs.
func Decide(in Input) Decision {
	d := &decider{Input: in}
	d.Status = *in.Route.Status.DeepCopy()
	d.marks = d.Status.Mark(metav1.NewTime(in.Now))
	status.Begin(d.marks.Manager, in.Route.Generation, in.Route.Status.ObservedGeneration)
	if err := d.decide(); err != nil {
		d.marks.RevisionTargetTrafficError("ErrorConfig", err.Error())
	}
	d.finish()
	return d.Decision
}

// Hosts returns the names of the Services that the Route wants, by tag.
func Hosts(r *servingv1.Route, cfg *config.Set) (map[string]string, error) {
	h := hosts{route: r, config: cfg}
	names := map[string]string{}
	for _, tag := range tagsOf(r) {
		name, err := h.name(tag)
		if err != nil {
			return nil, err
		}
		names[tag] = name
	}
	return names, nil
}

// tagsOf are the Route's tags, its own host first.
func tagsOf(r *servingv1.Route) []string {
	tags := []string{defaultTag}
	for _, t := range r.Spec.Traffic {
		if t.Tag != defaultTag {
			tags = append(tags, t.Tag)
		}
	}
	return tags
}

type decider struct {
	Input
	Decision
	marks servingv1.RouteMarks
	hosts hosts
	bad   *badTarget
}

// decide works out everything. An error is one of names: no host can be made of the templates.
func (d *decider) decide() error {
	names, err := Hosts(d.Route, d.Config)
	if err != nil {
		return err
	}
	d.hosts = hosts{route: d.Route, config: d.Config, local: d.localTags(names), externalPort: d.ExternalPort, revisions: d.Revisions}
	if d.Status.URL, err = d.hosts.url(defaultTag); err != nil {
		return err
	}
	t, bad := resolve(d.Input)
	if !d.placeholders(names, bad == nil) {
		return nil
	}
	if d.bad = bad; bad != nil {
		bad.mark(d.marks)
		return nil
	}
	urls, err := d.urls(t)
	if err != nil {
		return err
	}
	url := func(tag string) string { return urls[tag] }
	d.marks.TrafficAssigned()
	d.Status.Address = &conditions.Addressable{
		URL: "http://" + d.Route.Name + "." + d.Route.Namespace + "." + d.Config.Domain.ClusterLocal(),
	}
	d.certificates()
	state, err := d.ingress(t)
	if err != nil {
		return err
	}
	d.Status.Traffic = t.status(state, url)
	return nil
}

func (d *decider) urls(t traffic) (map[string]string, error) {
	urls := map[string]string{}
	for _, tag := range t.tags() {
		url, err := d.hosts.url(tag)
		if err != nil {
			return nil, err
		}
		urls[tag] = url
	}
	return urls, nil
}

// localTags are the tags that only the cluster reaches: all of them if the Route says so or has no other domain, else those whose
// Service says so.
func (d *decider) localTags(names map[string]string) map[string]bool {
	all := d.Config.Domain.For(d.Route.Labels) == d.Config.Domain.ClusterLocal()
	local := map[string]bool{}
	for tag, name := range names {
		service := d.service(name)
		local[tag] = all || service != nil && metav1.IsControlledBy(service, d.Route) && service.Labels[networking.VisibilityLabelKey] != ""
	}
	return local
}

func (d *decider) service(name string) *corev1.Service {
	for i := range d.Services {
		if d.Services[i].Name == name {
			return &d.Services[i]
		}
	}
	return nil
}

// placeholders makes the Services that the names need. It reports whether all of them are ours. Those of tags that are no more go once
// the new traffic is known.
func (d *decider) placeholders(names map[string]string, settled bool) bool {
	gateway := d.Gateway
	if !d.Config.Network.ServesIngressClass(ingressClass(d.Route, d.Config.Network)) {
		gateway = gatewayOf(d.Ingress)
	}
	wanted := map[string]bool{}
	for _, tag := range tagsOf(d.Route) {
		name := names[tag]
		if wanted[name] {
			continue
		}
		wanted[name] = true
		if have := d.service(name); have != nil && !metav1.IsControlledBy(have, d.Route) {
			if apply.Leftover(have, d.Route, routeKind) {
				d.Plan.Clear(have)
			} else {
				d.marks.ServiceNotOwned(name)
			}
			return false
		} else if gateway != "" {
			d.placeholder(have, newPlaceholder(d.Route, name, gateway))
		}
	}
	for i := range d.Services {
		if s := &d.Services[i]; settled && !wanted[s.Name] && metav1.IsControlledBy(s, d.Route) {
			d.Plan.Delete = append(d.Plan.Delete, s.DeepCopy())
		}
	}
	return true
}

func (d *decider) placeholder(have, want *corev1.Service) {
	switch {
	case have == nil:
		d.Plan.Create = append(d.Plan.Create, want)
	case have.Spec.Type != want.Spec.Type:
		// A Service cannot become an external name in place. It comes back with the next decision.
		d.Plan.Delete = append(d.Plan.Delete, have.DeepCopy())
	default:
		if to := adjustPlaceholder(have, want); to != nil {
			d.Plan.Update = append(d.Plan.Update, apply.Update{From: have, To: to})
		}
	}
}

// certificates says that there are none.
func (d *decider) certificates() {
	message := servingv1.ExternalDomainTLSNotEnabledMessage
	if d.Config.Network.ExternalDomainTLS {
		message = "external-domain-tls is enabled, but no issuer of certificates is installed; plain HTTP serves"
	}
	d.marks.TLSNotEnabled(message)
}

// ingress makes the KIngress what it should be, and returns how far the rollout is.
func (d *decider) ingress(t traffic) (rollout.Rollout, error) {
	have := d.Ingress
	state := t.goal()
	if have == nil {
		want, err := newIngress(d.hosts, t, state)
		if err == nil {
			d.Plan.Create = append(d.Plan.Create, want)
			d.marks.IngressNotConfigured()
		}
		return state, err
	}
	if apply.Leftover(have, d.Route, routeKind) {
		d.Plan.Clear(have)
		d.marks.IngressNotConfigured()
		return state, nil
	}
	if !metav1.IsControlledBy(have, d.Route) {
		d.marks.MarkFalse(servingv1.RouteConditionIngressReady, servingv1.ReasonNotOwned, servingv1.NotOwnedMessage("Ingress", have.Name))
		return state, nil
	}
	state = d.step(state)
	want, err := newIngress(d.hosts, t, state)
	if err != nil {
		return state, err
	}
	respecified := !equality.Semantic.DeepEqual(have.Spec, want.Spec)
	if respecified || !equality.Semantic.DeepEqual(have.Annotations, want.Annotations) || !equality.Semantic.DeepEqual(have.Labels, want.Labels) {
		to := have.DeepCopy()
		to.Spec, to.Annotations, to.Labels = want.Spec, want.Annotations, want.Labels
		d.Plan.Update = append(d.Plan.Update, apply.Update{From: have, To: to})
	}
	switch {
	case !state.Done():
		d.marks.IngressRolloutInProgress()
	case respecified || have.Generation != have.Status.ObservedGeneration:
		d.marks.IngressNotConfigured()
	default:
		d.marks.PropagateIngress(have.Status.GetCondition(networkingv1alpha1.IngressConditionReady))
	}
	return state, nil
}

// step moves the rollout on towards goal, from where the KIngress says it is.
func (d *decider) step(goal rollout.Rollout) rollout.Rollout {
	duration := d.Route.RolloutDuration()
	if duration == 0 {
		duration = time.Duration(d.Config.Network.RolloutDurationSeconds) * time.Second
	}
	if duration <= 0 {
		return goal
	}
	before, err := rollout.Parse(d.Ingress.Annotations[networking.RolloutAnnotationKey])
	if err != nil {
		return goal // somebody has edited it: begin anew
	}
	before = before.Without(func(revision string) bool { return d.Revisions[revision] == nil })
	if d.Ingress.IsReady() {
		before = before.Observe(d.Now, duration)
	}
	state, next := rollout.Step(goal, before, d.Now)
	d.Next = next
	return state
}

// finish completes the status, chooses its pace and tells what has become of the Route.
func (d *decider) finish() {
	before := &d.Route.Status
	d.Status.ObservedGeneration = d.Route.Generation
	d.Status.KeepTransitionTimes(&before.Status)
	was, is := before.GetCondition(servingv1.RouteConditionReady), d.Status.GetCondition(servingv1.RouteConditionReady)
	d.Pace = status.PaceOf(is)
	if d.bad != nil && d.bad.missing {
		d.Pace = status.Soon // a Revision is made moments after the Route that names it
	}
	switch {
	case is.IsTrue() && !was.IsTrue():
		d.News = append(d.News, apply.Normal("RouteReady", fmt.Sprintf("Route answers at %s", d.Status.URL)))
	case is.IsFalse() && (!was.IsFalse() || was.Message != is.Message):
		d.News = append(d.News, apply.Warning(is.Reason, is.Message))
	}
}

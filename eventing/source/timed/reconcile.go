package timed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	cron "ebb.dev/ebb/crds/sources/schedule"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/source/schedule"
	"ebb.dev/ebb/eventing/status"
)

// lookAgain is how soon a sink is looked for again; one that is there is looked at again after settled, for it may move.
const (
	lookAgain = 5 * time.Second
	settled   = time.Minute
)

// Runner runs jobs; *schedule.Runner is one.
type Runner interface {
	Set(schedule.Job)
	Remove(id string)
}

// Exposer makes Services reachable through Envoy.
type Exposer interface {
	Subscriber(ctx context.Context, service types.NamespacedName) error
}

// Reconciler brings PingSources and CronJobSources about.
type Reconciler struct {
	Client   client.Client
	Resolver *destination.Resolver
	Exposer  Exposer
	Runner   Runner
	// Accounts makes as whom they send; nil makes nobody.
	Accounts *identity.Accounts
	Clock    clock.PassiveClock
}

// Setup adds the controllers to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	pings := ctrl.NewControllerManagedBy(m).Named("pingsource").For(&sourcesv1.PingSource{})
	crons := ctrl.NewControllerManagedBy(m).Named("cronjobsource").For(&sourcesv1.CronJobSource{})
	return errors.Join(
		r.Accounts.Watch(pings, &sourcesv1.PingSourceList{}).Complete(enqueue.Anew(r.ping)),
		r.Accounts.Watch(crons, &sourcesv1.CronJobSourceList{}).Complete(enqueue.Anew(r.cron)),
	)
}

// timer is what the two kinds have in common.
type timer struct {
	object                      client.Object
	expression, zone            string
	sink                        duck.Destination
	event                       event.Event
	err                         error
	status                      *duck.SourceStatus
	marks                       conditions.Manager
	provided, deployed, account conditions.Type
}

func (r *Reconciler) ping(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var p sourcesv1.PingSource
	id := "ping/" + request.String()
	if gone, err := r.gone(ctx, request, &p, id); gone || err != nil {
		return ctrl.Result{}, err
	}
	now := p.Status.DeepCopy()
	e, err := pingEvent(&p)
	result, err := r.run(ctx, id, timer{
		object: &p, expression: p.Spec.Schedule, zone: p.Spec.Timezone, sink: p.Spec.Sink, event: e, err: err,
		status: &now.SourceStatus, marks: now.Mark(metav1.NewTime(r.Clock.Now())),
		provided: sourcesv1.PingSourceConditionSinkProvided, deployed: sourcesv1.PingSourceConditionDeployed,
		account: sourcesv1.PingSourceConditionOIDCIdentityCreated,
	})
	now.Status.KeepTransitionTimes(&p.Status.Status)
	return result, errors.Join(err, status.Save(ctx, r.Client, &p, &p.Status, *now))
}

func (r *Reconciler) cron(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var c sourcesv1.CronJobSource
	id := "cron/" + request.String()
	if gone, err := r.gone(ctx, request, &c, id); gone || err != nil {
		return ctrl.Result{}, err
	}
	now := c.Status.DeepCopy()
	e, err := cronJobEvent(&c)
	result, err := r.run(ctx, id, timer{
		object: &c, expression: c.Spec.Schedule, zone: c.Spec.Timezone, sink: c.Spec.Sink, event: e, err: err,
		status: &now.SourceStatus, marks: now.Mark(metav1.NewTime(r.Clock.Now())),
		provided: sourcesv1.CronJobSourceConditionSinkProvided, deployed: sourcesv1.CronJobSourceConditionDeployed,
		account: sourcesv1.CronJobSourceConditionOIDCIdentityCreated,
	})
	now.Status.KeepTransitionTimes(&c.Status.Status)
	return result, errors.Join(err, status.Save(ctx, r.Client, &c, &c.Status, *now))
}

// gone reads an object and ends its job if it is no more.
func (r *Reconciler) gone(ctx context.Context, request ctrl.Request, object client.Object, id string) (bool, error) {
	err := r.Client.Get(ctx, request.NamespacedName, object)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read %s: %w", id, err)
	}
	if err != nil || object.GetDeletionTimestamp() != nil {
		r.Runner.Remove(id)
		return true, nil
	}
	return false, nil
}

// run starts a job, and says in the status how it fares.
func (r *Reconciler) run(ctx context.Context, id string, t timer) (ctrl.Result, error) {
	t.status.ObservedGeneration = t.object.GetGeneration()
	t.marks.Initialize()
	sender := r.Accounts.Settle(ctx, t.object)
	sender.State(t.marks, t.account, &t.status.Auth)
	t.status.SinkURI, t.status.SinkCACerts, t.status.SinkAudience, t.status.CloudEventAttributes = nil, nil, nil, nil
	if t.err == nil {
		t.err = readable(t.expression, t.zone)
	}
	if t.err != nil {
		r.Runner.Remove(id)
		t.marks.MarkFalse(t.deployed, "BadSpec", t.err.Error())
		return ctrl.Result{}, nil
	}
	found, err := r.Resolver.Resolve(ctx, t.sink, t.object.GetNamespace())
	var unresolved *destination.Unresolved
	if errors.As(err, &unresolved) {
		r.Runner.Remove(id)
		t.marks.MarkFalse(t.provided, unresolved.Reason, unresolved.Message)
		t.marks.MarkUnknown(t.deployed, "SinkMissing", "it starts once the sink has a URI")
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.Exposer.Subscriber(ctx, found.Service); err != nil {
		return ctrl.Result{}, err
	}
	r.Runner.Set(schedule.Job{ID: id, Expression: t.expression, Zone: t.zone, Event: t.event, Sink: found.Destination(), As: sender.Account})
	t.status.SinkURI, t.status.SinkCACerts, t.status.SinkAudience = &found.URL, found.CACerts, found.Audience
	t.status.CloudEventAttributes = []duck.CloudEventAttributes{{Type: t.event.Type(), Source: t.event.Source()}}
	t.marks.MarkTrue(t.provided)
	t.marks.MarkTrue(t.deployed)
	if sender.Err != nil {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{RequeueAfter: settled}, nil
}

// readable says what is wrong with a schedule that came past admission.
func readable(expression, zone string) error {
	if _, err := cron.Parse(expression, zone); err != nil {
		return fmt.Errorf("spec.schedule %q, spec.timezone %q: %w", expression, zone, err)
	}
	return nil
}

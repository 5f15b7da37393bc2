package timed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/source/schedule"
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
	Clock    clock.PassiveClock
}

// Setup adds the controllers to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	return errors.Join(
		ctrl.NewControllerManagedBy(m).Named("pingsource").For(&sourcesv1.PingSource{}).Complete(reconcile.Func(r.ping)),
		ctrl.NewControllerManagedBy(m).Named("cronjobsource").For(&sourcesv1.CronJobSource{}).Complete(reconcile.Func(r.cron)),
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
	before := p.Status.DeepCopy()
	e, err := ping(&p)
	result, err := r.run(ctx, id, timer{
		object: &p, expression: p.Spec.Schedule, zone: p.Spec.Timezone, sink: p.Spec.Sink, event: e, err: err,
		status: &p.Status.SourceStatus, marks: p.Status.Mark(metav1.NewTime(r.Clock.Now())),
		provided: sourcesv1.PingSourceConditionSinkProvided, deployed: sourcesv1.PingSourceConditionDeployed,
		account: sourcesv1.PingSourceConditionOIDCIdentityCreated,
	})
	p.Status.Status.KeepTransitionTimes(&before.Status)
	if equality.Semantic.DeepEqual(before, &p.Status) {
		return result, err
	}
	return result, errors.Join(err, r.write(ctx, &p))
}

func (r *Reconciler) cron(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var c sourcesv1.CronJobSource
	id := "cron/" + request.String()
	if gone, err := r.gone(ctx, request, &c, id); gone || err != nil {
		return ctrl.Result{}, err
	}
	before := c.Status.DeepCopy()
	e, err := cron(&c)
	result, err := r.run(ctx, id, timer{
		object: &c, expression: c.Spec.Schedule, zone: c.Spec.Timezone, sink: c.Spec.Sink, event: e, err: err,
		status: &c.Status.SourceStatus, marks: c.Status.Mark(metav1.NewTime(r.Clock.Now())),
		provided: sourcesv1.CronJobSourceConditionSinkProvided, deployed: sourcesv1.CronJobSourceConditionDeployed,
		account: sourcesv1.CronJobSourceConditionOIDCIdentityCreated,
	})
	c.Status.Status.KeepTransitionTimes(&before.Status)
	if equality.Semantic.DeepEqual(before, &c.Status) {
		return result, err
	}
	return result, errors.Join(err, r.write(ctx, &c))
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
	t.marks.MarkTrueWithReason(t.account, "AuthenticationDisabled", "")
	t.status.SinkURI, t.status.SinkCACerts, t.status.SinkAudience, t.status.CloudEventAttributes = nil, nil, nil, nil
	if t.err == nil {
		t.err = schedule.Check(t.expression, t.zone)
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
	r.Runner.Set(schedule.Job{ID: id, Expression: t.expression, Zone: t.zone, Event: t.event, Sink: found.URL})
	t.status.SinkURI, t.status.SinkCACerts, t.status.SinkAudience = &found.URL, found.CACerts, found.Audience
	t.status.CloudEventAttributes = []duck.CloudEventAttributes{{Type: t.event.Type(), Source: t.event.Source()}}
	t.marks.MarkTrue(t.provided)
	t.marks.MarkTrue(t.deployed)
	return ctrl.Result{RequeueAfter: settled}, nil
}

func (r *Reconciler) write(ctx context.Context, object client.Object) error {
	if err := r.Client.Status().Update(ctx, object); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write the status of %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

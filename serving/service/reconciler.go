package service

import (
	"context"
	"fmt"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"ebb.dev/ebb/crds/serving/defaulting"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/settings"
	"ebb.dev/ebb/serving/status"
)

// Reconciler keeps Services what they say.
type Reconciler struct {
	Apply    *apply.Applier
	Status   *status.Writer
	Settings *settings.Store
	Clock    clock.PassiveClock
}

// SetupWithManager starts the Reconciler with mgr. The indexes are there already.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, options controller.Options) error {
	// Children have the Service's name, and so has what stands in their way.
	same := &handler.EnqueueRequestForObject{}
	err := builder.ControllerManagedBy(mgr).Named("ebb-service").WithOptions(options).
		For(&servingv1.Service{}).
		Watches(&servingv1.Configuration{}, same).
		Watches(&servingv1.Route{}, same).
		Complete(r)
	if err != nil {
		return fmt.Errorf("services: %w", err)
	}
	return nil
}

// Reconcile looks at one Service.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	service := &servingv1.Service{}
	if err := r.Apply.Client.Get(ctx, request.NamespacedName, service); err != nil {
		r.Status.Forget(request.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if service.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	in, err := r.read(ctx, service)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("Service %s: %w", request, err)
	}
	d := Decide(in)
	if gone, err := r.Apply.Gone(ctx, service, service.Status.ObservedGeneration, d.Plan); gone || err != nil {
		return reconcile.Result{}, err
	}
	if err := r.Apply.Apply(ctx, service, d.Plan); err != nil {
		return apply.Result(err)
	}
	wanted := service.DeepCopy()
	wanted.Status = d.Status
	_, again, err := r.Status.Write(ctx, service, wanted, d.Pace)
	return apply.Result(err, again)
}

func (r *Reconciler) read(ctx context.Context, service *servingv1.Service) (Input, error) {
	cfg, err := r.Settings.Get(ctx)
	if err != nil {
		return Input{}, err
	}
	in := Input{Now: r.Clock.Now(), Defaults: defaulting.Input{Defaults: cfg.Defaults, Features: cfg.Features}}
	in.Service = completed(service, in.Defaults)
	if in.Configuration, err = apply.Get(ctx, r.Apply.Client, service.Namespace, service.Name, &servingv1.Configuration{}); err != nil {
		return in, err
	}
	if in.Route, err = apply.Get(ctx, r.Apply.Client, service.Namespace, service.Name, &servingv1.Route{}); err != nil {
		return in, err
	}
	if name := service.Spec.Template.Name; name != "" {
		in.Named, err = apply.Get(ctx, r.Apply.Client, service.Namespace, name, &servingv1.Revision{})
	}
	return in, err
}

// completed returns s with defaults if admission has not given it any.
func completed(s *servingv1.Service, in defaulting.Input) *servingv1.Service {
	if s.Spec.Template.Spec.TimeoutSeconds != nil && len(s.Spec.Traffic) > 0 {
		return s
	}
	s = s.DeepCopy()
	defaulting.Service(s, nil, in)
	return s
}

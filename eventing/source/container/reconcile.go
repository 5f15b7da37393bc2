package container

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/source/binding"
	"ebb.dev/ebb/eventing/status"
)

// Reconciler brings ContainerSources about.
type Reconciler struct {
	Client client.Client
	// Reader reads from the API server itself: a cache of all Deployments would serve a few.
	Reader client.Reader
	Clock  clock.PassiveClock
}

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named("containersource").For(&sourcesv1.ContainerSource{}).
		Owns(&sourcesv1.SinkBinding{}).Owns(&appsv1.Deployment{}, builder.OnlyMetadata).
		Complete(enqueue.Anew(r.Reconcile))
}

// Reconcile reconciles one ContainerSource.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var s sourcesv1.ContainerSource
	if err := r.Client.Get(ctx, request.NamespacedName, &s); err != nil || s.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err) // its children go with it
	}
	in := Input{Source: &s, Now: r.Clock.Now()}
	in.Binding, in.BindingErr = r.binding(ctx, &s)
	if in.BindingErr == nil {
		in.Deployment, in.DeploymentErr = r.deployment(ctx, &s, in.Binding)
	}
	for _, err := range []error{in.BindingErr, in.DeploymentErr} {
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			return ctrl.Result{}, err // a cache was behind
		}
	}
	if err := status.Save(ctx, r.Client, &s, &s.Status, Decide(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.BindingErr != nil {
		return ctrl.Result{}, in.BindingErr
	}
	return ctrl.Result{}, in.DeploymentErr
}

// binding makes a source's SinkBinding, or brings it up to date.
func (r *Reconciler) binding(ctx context.Context, s *sourcesv1.ContainerSource) (*sourcesv1.SinkBinding, error) {
	want := BindingOf(s)
	var have sourcesv1.SinkBinding
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), &have)
	if apierrors.IsNotFound(err) {
		if err := r.Client.Create(ctx, want); err != nil {
			return nil, fmt.Errorf("make SinkBinding %s/%s: %w", want.Namespace, want.Name, err)
		}
		return want, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read SinkBinding %s/%s: %w", want.Namespace, want.Name, err)
	}
	if !metav1.IsControlledBy(&have, s) {
		return nil, fmt.Errorf("SinkBinding %s/%s is there and not of this ContainerSource; rename or delete it", want.Namespace, want.Name)
	}
	if equality.Semantic.DeepEqual(have.Spec, want.Spec) {
		return &have, nil
	}
	have.Spec = want.Spec
	if err := r.Client.Update(ctx, &have); err != nil {
		return nil, fmt.Errorf("update SinkBinding %s/%s: %w", want.Namespace, want.Name, err)
	}
	return &have, nil
}

// deployment makes a source's Deployment once there is a sink, or gives it a new template.
func (r *Reconciler) deployment(ctx context.Context, s *sourcesv1.ContainerSource, b *sourcesv1.SinkBinding) (*appsv1.Deployment, error) {
	var have appsv1.Deployment
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: b.Spec.Subject.Name}, &have)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, fmt.Errorf("read Deployment %s/%s: %w", s.Namespace, b.Spec.Subject.Name, err)
	}
	if b.Status.SinkURI == nil {
		if missing {
			return nil, nil
		}
		return &have, nil
	}
	want, err := DeploymentOf(s, binding.Contract{Sink: *b.Status.SinkURI, Roots: b.Status.SinkCACerts, Overrides: b.Spec.CloudEventOverrides, Token: ptr.Deref(b.Status.OIDCTokenSecretName, "")})
	switch {
	case err != nil:
		return nil, err
	case missing:
		if err := r.Client.Create(ctx, want); err != nil {
			return nil, fmt.Errorf("make Deployment %s/%s: %w", want.Namespace, want.Name, err)
		}
		return want, nil
	case !metav1.IsControlledBy(&have, s):
		return nil, fmt.Errorf("Deployment %s/%s is there and not of this ContainerSource; rename or delete it", want.Namespace, want.Name)
	case have.Annotations[templateAnnotation] == want.Annotations[templateAnnotation]:
		return &have, nil
	}
	have.Spec.Template = want.Spec.Template
	metav1.SetMetaDataAnnotation(&have.ObjectMeta, templateAnnotation, want.Annotations[templateAnnotation])
	if err := r.Client.Update(ctx, &have); err != nil {
		return nil, fmt.Errorf("update Deployment %s/%s: %w", want.Namespace, want.Name, err)
	}
	return &have, nil
}

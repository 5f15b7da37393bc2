package testbed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/autoscaling"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// Service says what is special about a service of these benchmarks.
type Service struct {
	Name string
	// Concurrency is containerConcurrency.
	Concurrency int64
	// Annotations are those of its revision; without any it starts asleep.
	Annotations map[string]string
	// Own are annotations of the service itself.
	Own map[string]string
	// Quiet does not tell of each event that it gets.
	Quiet bool
}

func (b *Bed) object(s Service) *servingv1.Service {
	annotations := s.Annotations
	if annotations == nil {
		annotations = map[string]string{"autoscaling.knative.dev/initial-scale": "0"}
	}
	out := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: Services, Name: s.Name, Annotations: s.Own}}
	out.Spec.Template.Annotations = annotations
	env := []corev1.EnvVar{{Name: tellVariable, Value: b.tells.LocalAddr().String()}}
	if !s.Quiet {
		env = append(env, corev1.EnvVar{Name: receiptsVariable, Value: b.receipts.LocalAddr().String()})
	}
	out.Spec.Template.Spec.Containers = []corev1.Container{{Image: Image, Env: env}}
	out.Spec.Template.Spec.ContainerConcurrency = &s.Concurrency
	return out
}

// creators is how many services are made side by side.
const creators = 8

// Create makes services and returns when all are ready.
func (b *Bed) Create(ctx context.Context, services ...Service) error {
	jobs := make(chan Service)
	var group sync.WaitGroup
	failed := make(chan error, len(services))
	for range creators {
		group.Go(func() {
			for s := range jobs {
				if err := b.Client.Create(ctx, b.object(s)); err != nil {
					failed <- fmt.Errorf("create Service %s: %w", s.Name, err)
				}
			}
		})
	}
	for _, s := range services {
		jobs <- s
	}
	close(jobs)
	group.Wait()
	close(failed)
	var errs error
	for err := range failed {
		errs = errors.Join(errs, err)
	}
	if errs != nil {
		return errs
	}
	return b.waitReady(ctx, services)
}

// readyTimeout bounds the wait for services, for each ten of them.
const readyTimeout = 30 * time.Second

func (b *Bed) waitReady(ctx context.Context, services []Service) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout*time.Duration(1+len(services)/10))
	defer cancel()
	wanted := map[string]bool{}
	for _, s := range services {
		wanted[s.Name] = true
	}
	return Until(ctx, "wait for services", func() error {
		var list servingv1.ServiceList
		if err := b.Client.List(ctx, &list, client.InNamespace(Services)); err != nil {
			return err
		}
		ready, last := 0, ""
		for i := range list.Items {
			if !wanted[list.Items[i].Name] {
				continue
			}
			if IsReady(&list.Items[i]) {
				ready++
			} else {
				last = fmt.Sprintf("%s: %+v", list.Items[i].Name, list.Items[i].Status.Conditions)
			}
		}
		if ready < len(services) {
			return fmt.Errorf("%d of %d are ready; one that is not: %s", ready, len(services), last)
		}
		return nil
	})
}

// IsReady reports whether a service says so.
func IsReady(s *servingv1.Service) bool {
	for _, c := range s.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == corev1.ConditionTrue && s.Status.ObservedGeneration == s.Generation
		}
	}
	return false
}

// Revision is the revision that a service's requests reach.
func (b *Bed) Revision(ctx context.Context, service string) (string, error) {
	var s servingv1.Service
	if err := b.Client.Get(ctx, client.ObjectKey{Namespace: Services, Name: service}, &s); err != nil {
		return "", err
	}
	if s.Status.LatestReadyRevisionName == "" {
		return "", fmt.Errorf("service %s has no ready revision", service)
	}
	return s.Status.LatestReadyRevisionName, nil
}

// clearTimeout bounds the end of everything that a section made.
const clearTimeout = 5 * time.Minute

// Clear removes all services, bare Deployments, Brokers and Triggers and returns when nothing of them is left.
func (b *Bed) Clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	background := client.PropagationPolicy(metav1.DeletePropagationBackground)
	if err := b.clearEvents(ctx); err != nil {
		return err
	}
	if err := b.Client.DeleteAllOf(ctx, &servingv1.Service{}, client.InNamespace(Services), background); err != nil {
		return err
	}
	if err := b.Client.DeleteAllOf(ctx, &appsv1.Deployment{}, client.InNamespace(Bare), background); err != nil {
		return err
	}
	return Until(ctx, "clear", func() error {
		left := 0
		for _, list := range []client.ObjectList{&eventingv1.TriggerList{}, &eventingv1.BrokerList{}, &servingv1.ServiceList{}, &servingv1.RevisionList{}, &appsv1.DeploymentList{}, &corev1.PodList{}} {
			for _, namespace := range []string{Services, Bare} {
				if err := b.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
					return err
				}
				left += meta.LenList(list)
			}
		}
		if left > 0 {
			return fmt.Errorf("%d objects are left", left)
		}
		return nil
	})
}

// Stay keeps replicas for longer than any measurement; Sleep lets them go as soon as may be.
func (b *Bed) Stay(ctx context.Context) error { return b.window(ctx, "30m") }

// sleepTimeout bounds the way to zero.
const sleepTimeout = 3 * time.Minute

// Sleep sends everything to sleep and returns when no pod is left.
func (b *Bed) Sleep(ctx context.Context) error {
	if err := b.window(ctx, "6s"); err != nil {
		return err
	}
	if err := b.scaleBareDown(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sleepTimeout)
	defer cancel()
	return Until(ctx, "wait for zero", func() error {
		for _, namespace := range []string{Services, Bare} {
			pods, err := b.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
			if err != nil {
				return err
			}
			if n := len(pods.Items); n > 0 {
				return fmt.Errorf("%d pods are left in %s, among them %s", n, namespace, pods.Items[0].Name)
			}
		}
		return nil
	})
}

// window changes the settings that revisions without annotations follow at once.
func (b *Bed) window(ctx context.Context, stable string) error {
	patch := fmt.Appendf(nil, `{"data":{"stable-window":%q,"scale-to-zero-grace-period":"6s"}}`, stable)
	_, err := b.Kube.CoreV1().ConfigMaps("knative-serving").Patch(ctx, autoscaling.ConfigName, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// Scale patches a Deployment's scale, as Ebb does.
func (b *Bed) Scale(ctx context.Context, namespace, name string, n int) error {
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n)
	_, err := b.Kube.AppsV1().Deployments(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "scale")
	return err
}

func (b *Bed) scaleBareDown(ctx context.Context) error {
	list, err := b.Kube.AppsV1().Deployments(Bare).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, d := range list.Items {
		if d.Spec.Replicas != nil && *d.Spec.Replicas > 0 {
			if err := b.Scale(ctx, Bare, d.Name, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

package testbed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/crds/serving"
)

// MakeBare makes a plain Deployment of the same pods as a revision's, asleep, that Ebb knows nothing of.
func (b *Bed) MakeBare(ctx context.Context, revision, name string) error {
	return b.makeBare(ctx, revision, name, fmt.Sprintf(plainEnvoy, networking.ReplicaHTTPSPort))
}

// RunBeside runs one plain pod like a revision's whose sidecar is an Envoy of this configuration, and returns the pod's address.
func (b *Bed) RunBeside(ctx context.Context, revision, name, config string) (address string, err error) {
	if err := b.makeBare(ctx, revision, name, config); err != nil {
		return "", err
	}
	if err := b.Scale(ctx, Bare, name, 1); err != nil {
		return "", err
	}
	err = Until(ctx, "wait for the pod of "+name, func() error {
		pods, err := b.Kube.CoreV1().Pods(Bare).List(ctx, metav1.ListOptions{LabelSelector: "bench=" + name})
		if err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if address = pod.Status.PodIP; address != "" && pod.Status.Phase == corev1.PodRunning {
				return nil
			}
		}
		return errors.New("it does not run yet")
	})
	return address, err
}

func (b *Bed) makeBare(ctx context.Context, revision, name, config string) error {
	from, err := b.Kube.AppsV1().Deployments(Services).Get(ctx, revision+"-deployment", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("the Deployment of %s: %w", revision, err)
	}
	template := *from.Spec.Template.DeepCopy()
	template.Labels = withoutOurs(template.Labels)
	template.Annotations = withoutOurs(template.Annotations)
	template.Labels["bench"] = name
	plainSidecar(&template.Spec, config)
	out := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: Bare, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"bench": name}},
			Template: template, Strategy: from.Spec.Strategy, RevisionHistoryLimit: from.Spec.RevisionHistoryLimit,
		},
	}
	if _, err := b.Kube.AppsV1().Deployments(Bare).Create(ctx, out, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	// Its ReplicaSet is made before it is woken, as a revision's is.
	return Until(ctx, "wait for the ReplicaSet of "+name, func() error {
		sets, err := b.Kube.AppsV1().ReplicaSets(Bare).List(ctx, metav1.ListOptions{LabelSelector: "bench=" + name})
		if err == nil && len(sets.Items) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
}

// plainEnvoy is a sidecar's Envoy without Ebb: it listens where Ebb's does and knows nobody.
const plainEnvoy = `{"static_resources": {"listeners": [{"name": "in",
  "address": {"socket_address": {"address": "0.0.0.0", "port_value": %d}},
  "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in",
    "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}]},
    "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}]}}`

// plainSidecar makes Ebb's sidecar, where a pod has one, a bare Envoy of the same image and this configuration: what Ebb needs beside it
// goes.
func plainSidecar(pod *corev1.PodSpec, config string) {
	for i := range pod.InitContainers {
		sidecar := &pod.InitContainers[i]
		if sidecar.Name != serving.SidecarContainerName {
			continue
		}
		mounts := map[string]bool{}
		for _, mount := range sidecar.VolumeMounts {
			mounts[mount.Name] = true
		}
		pod.Volumes = slices.DeleteFunc(pod.Volumes, func(v corev1.Volume) bool { return mounts[v.Name] })
		sidecar.Name, sidecar.Command = "envoy", []string{"/usr/local/bin/envoy"}
		sidecar.Args = []string{
			"--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
			"--config-yaml", config,
		}
		sidecar.Env, sidecar.VolumeMounts, sidecar.ReadinessProbe, sidecar.Lifecycle = nil, nil, nil, nil
		for k := range pod.Containers {
			// It asks Ebb's sidecar whether the pod is drained.
			pod.Containers[k].Lifecycle = nil
		}
	}
}

func withoutOurs(in map[string]string) map[string]string {
	out := maps.Clone(in)
	maps.DeleteFunc(out, func(key, _ string) bool {
		return strings.Contains(key, "knative.dev/") || strings.HasPrefix(key, "ebb.dev/")
	})
	if out == nil {
		out = map[string]string{}
	}
	return out
}

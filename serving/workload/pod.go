package workload

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// GraceMargin is what a pod gets beyond its longest request to leave the proxies and to end, in seconds.
const GraceMargin = 30

// podTemplate is the pod of a revision.
func podTemplate(in Input) corev1.PodTemplateSpec {
	r := in.Revision
	annotations := without(r.Annotations, routingOrScaling)
	if name := r.Spec.UserContainer().Name; name != "" {
		annotations[defaultContainerKey] = name
	}
	l := labels(r)
	l[ReplicaProxyKey] = string(in.Proxy)
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: l, Annotations: annotations}, Spec: podSpec(in)}
}

func podSpec(in Input) corev1.PodSpec {
	r, cfg := in.Revision, in.Config
	pod := *r.Spec.PodSpec.DeepCopy()
	request := time.Duration(ptr.Deref(r.Spec.TimeoutSeconds, cfg.Defaults.RevisionTimeoutSeconds)) * time.Second
	pod.TerminationGracePeriodSeconds = ptr.To(int64(async.Longest(r.Annotations, request).Seconds()) + GraceMargin)
	if pod.EnableServiceLinks == nil {
		pod.EnableServiceLinks = cfg.Defaults.EnableServiceLinks
	}
	if pod.RuntimeClassName == nil {
		pod.RuntimeClassName = cfg.Deployment.RuntimeClass(r.Labels)
	}
	if pod.Affinity == nil && cfg.Deployment.Affinity == config.AffinityPreferSpread {
		pod.Affinity = preferSpread(r)
	}
	for i := range pod.InitContainers {
		pin(&pod.InitContainers[i], in.Digests)
	}
	serves := r.Spec.UserContainer().Name
	for i := range pod.Containers {
		c := &pod.Containers[i]
		if c.Name == serves {
			servingContainer(c, in)
		}
		userContainer(c, in)
		pin(c, in.Digests)
	}
	if cfg.Observability.VarLogCollection {
		collectVarLog(&pod)
	}
	if in.Proxy == SidecarProxy && in.Sidecar != nil {
		in.Sidecar(&pod, r, cfg)
	}
	return pod
}

// pin replaces a tag, which may come to mean another image, by the digest it had when the revision was made.
func pin(c *corev1.Container, digests map[string]string) {
	if digest := digests[c.Name]; digest != "" {
		c.Image = digest
	}
}

// servingContainer prepares the one container that takes requests.
func servingContainer(c *corev1.Container, in Input) {
	port := in.Revision.Spec.UserPort()
	c.Ports = []corev1.ContainerPort{{Name: servingv1.UserPortName, ContainerPort: port, Protocol: corev1.ProtocolTCP}}
	c.Env = append(c.Env, corev1.EnvVar{Name: "PORT", Value: strconv.Itoa(int(port))})
	aim(c.ReadinessProbe, port, true)
	aim(c.StartupProbe, port, true)
	aim(c.LivenessProbe, port, in.Config.Features.Enabled(config.MultiContainerProbing))
}

// userContainer prepares any container of the user's.
func userContainer(c *corev1.Container, in Input) {
	r := in.Revision
	c.Env = append(c.Env,
		corev1.EnvVar{Name: "K_REVISION", Value: r.Name},
		corev1.EnvVar{Name: "K_CONFIGURATION", Value: r.Labels[serving.ConfigurationLabelKey]},
		corev1.EnvVar{Name: "K_SERVICE", Value: r.Labels[serving.ServiceLabelKey]},
	)
	c.Stdin, c.TTY = false, false
	if c.TerminationMessagePolicy == "" {
		// The condition of a revision that crashes shows the last lines it wrote.
		c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	}
	if in.Proxy == NodeProxy && in.PreStop != nil {
		if handler := in.PreStop(r); handler != nil {
			c.Lifecycle = &corev1.Lifecycle{PreStop: handler}
		}
	}
	kubeletProbe(c.ReadinessProbe)
}

// isOurs reports whether a label or annotation is one that we put there and may take away again.
func isOurs(key string) bool {
	return key == appLabelKey || strings.Contains(key, "knative.dev/") || key == ReplicaProxyKey
}

// collectVarLog keeps what the user's containers write to /var/log where a collector on the node finds it.
func collectVarLog(pod *corev1.PodSpec) {
	const volume = "knative-var-log"
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
	}
	for i := range pod.Containers {
		c := &pod.Containers[i]
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{
			Name: volume, MountPath: "/var/log", SubPathExpr: "$(K_INTERNAL_POD_NAMESPACE)_$(K_INTERNAL_POD_NAME)_" + c.Name,
		})
		c.Env = append(c.Env, field("K_INTERNAL_POD_NAME", "metadata.name"), field("K_INTERNAL_POD_NAMESPACE", "metadata.namespace"))
	}
}

package job

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"

	"github.com/cloudevents/sdk-go/v2/event"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/eventing/defaulting"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
)

// Labels of a JobSink's Jobs and their Secrets, as Knative's.
const (
	NameLabel = "sinks.knative.dev/job-sink-name"
	IDLabel   = "sinks.knative.dev/job-sink-id"
)

// How a Job's containers find their event.
const (
	pathVariable = "K_EVENT_PATH"
	volume       = "jobsink-event"
	mountPath    = "/etc/jobsink-event"
	file         = "event"
)

// longest is that of names that become labels, and digest how much of it tells events apart.
const (
	longest = 63
	digest  = 32
)

var sinkKind = sinksv1alpha1.SchemeGroupVersion.WithKind("JobSink")

// NameOf is the name of an event's Job. It follows from the event's source and id alone.
func NameOf(sink, source, id string) string {
	prefix := sink + "-"
	if most := longest - digest; len(prefix) > most {
		sum := sha256.Sum256([]byte(sink))
		mark := "-" + hex.EncodeToString(sum[:4]) + "-"
		prefix = sink[:most-len(mark)] + mark
	}
	sum := sha256.Sum256([]byte(source + "\x00" + id))
	return prefix + hex.EncodeToString(sum[:digest/2])
}

// labelOf is a sink's name as a label's value.
func labelOf(sink string) string {
	if len(sink) <= longest {
		return sink
	}
	sum := sha256.Sum256([]byte(sink))
	mark := "-" + hex.EncodeToString(sum[:4])
	return sink[:longest-len(mark)] + mark
}

// Selector selects the Jobs of a JobSink.
func Selector(sink string) string { return NameLabel + "=" + labelOf(sink) }

func labels(sink, name string) map[string]string {
	return map[string]string{NameLabel: labelOf(sink), IDLabel: name}
}

// JobOf is the Job of an event.
func JobOf(s *sinksv1alpha1.JobSink, e *event.Event) *batchv1.Job {
	s = s.DeepCopy()
	if s.Spec.Job == nil {
		s.Spec.Job = &batchv1.Job{}
	}
	defaulting.JobSink(s, nil, defaulting.Input{})
	name := NameOf(s.Name, e.Source(), e.ID())
	j := s.Spec.Job
	owner := metav1.NewControllerRef(s, sinkKind)
	owner.BlockOwnerDeletion = ptr.To(false)
	meta := metav1.ObjectMeta{
		Namespace: s.Namespace, Name: name, Labels: j.Labels, Annotations: j.Annotations, OwnerReferences: []metav1.OwnerReference{*owner},
	}
	if meta.Labels == nil {
		meta.Labels = map[string]string{}
	}
	for key, value := range labels(s.Name, name) {
		meta.Labels[key] = value
	}
	j.ObjectMeta, j.Status = meta, batchv1.JobStatus{}
	pod := &j.Spec.Template.Spec
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			show(&containers[i])
		}
	}
	for _, v := range pod.Volumes {
		if v.Name == volume {
			return j
		}
	}
	pod.Volumes = append(pod.Volumes, corev1.Volume{
		Name: volume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}},
	})
	return j
}

// show mounts the event into a container, unless it has a place for it already, and tells where.
func show(c *corev1.Container) {
	path := ""
	for _, m := range c.VolumeMounts {
		if m.Name == volume {
			path = m.MountPath
		}
	}
	if path == "" {
		path = mountPath
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, ReadOnly: true, MountPath: mountPath})
	}
	for i := range c.Env {
		if c.Env[i].Name == pathVariable {
			c.Env[i] = corev1.EnvVar{Name: pathVariable, Value: path}
			return
		}
	}
	c.Env = append(c.Env, corev1.EnvVar{Name: pathVariable, Value: path})
}

// SecretOf is what a Job's event is mounted from. It goes with the Job.
func SecretOf(j *batchv1.Job, sink string, e *event.Event) (*corev1.Secret, error) {
	data, err := e.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("event as JSON: %w", err)
	}
	owner := metav1.NewControllerRef(j, batchv1.SchemeGroupVersion.WithKind("Job"))
	owner.BlockOwnerDeletion = ptr.To(false)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: j.Namespace, Name: j.Name, Labels: labels(sink, j.Name), OwnerReferences: []metav1.OwnerReference{*owner},
		},
		Immutable: ptr.To(true), Type: corev1.SecretTypeOpaque, Data: map[string][]byte{file: data},
	}, nil
}

// location is where a Job's state is asked for.
func location(sink types.NamespacedName, source, id string) string {
	return "/namespaces/" + sink.Namespace + "/name/" + sink.Name + "/sources/" + url.PathEscape(source) + "/ids/" + url.PathEscape(id)
}

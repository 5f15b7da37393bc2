package defaulting

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	"ebb.dev/ebb/crds/sources/schedule"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	sourcesv1beta1 "ebb.dev/ebb/crds/sources/v1beta1"
)

// PingSource completes s.
func PingSource(s, _ *sourcesv1.PingSource, _ Input) {
	if s.Spec.Schedule == "" {
		s.Spec.Schedule = schedule.Default
	}
	destination(&s.Spec.Sink, s.Namespace)
}

// CronJobSource completes s.
func CronJobSource(s, _ *sourcesv1.CronJobSource, _ Input) {
	if s.Spec.Schedule == "" {
		s.Spec.Schedule = schedule.Default
	}
	destination(&s.Spec.Sink, s.Namespace)
}

// APIServerSource completes s.
func APIServerSource(s, _ *sourcesv1.ApiServerSource, _ Input) {
	if s.Spec.EventMode == "" {
		s.Spec.EventMode = sourcesv1.ReferenceMode
	}
	if s.Spec.ServiceAccountName == "" {
		s.Spec.ServiceAccountName = "default"
	}
	destination(&s.Spec.Sink, s.Namespace)
}

// ContainerSource completes s.
func ContainerSource(s, _ *sourcesv1.ContainerSource, _ Input) {
	for i := range s.Spec.Template.Spec.Containers {
		if container := &s.Spec.Template.Spec.Containers[i]; container.Name == "" {
			container.Name = fmt.Sprintf("%s-%d", s.Name, i)
		}
	}
	destination(&s.Spec.Sink, s.Namespace)
}

// SinkBinding completes s.
func SinkBinding(s, _ *sourcesv1.SinkBinding, _ Input) {
	if s.Spec.Subject.Namespace == "" {
		s.Spec.Subject.Namespace = s.Namespace
	}
	destination(&s.Spec.Sink, s.Namespace)
}

// KafkaSource completes s. old is the KafkaSource it replaces, nil for a new one. A consumer group that is not named is the
// controller's to name, by the object's UID: a source that is made again shall not go on where another stopped.
func KafkaSource(s, old *sourcesv1.KafkaSource, _ Input) {
	if s.Spec.ConsumerGroup == "" && old != nil {
		s.Spec.ConsumerGroup = old.Spec.ConsumerGroup
	}
	if s.Spec.Consumers == nil {
		s.Spec.Consumers = ptr.To[int32](1)
	}
	if s.Spec.InitialOffset == "" {
		s.Spec.InitialOffset = sourcesv1.OffsetLatest
	}
	if s.Spec.Ordering == nil {
		s.Spec.Ordering = ptr.To(sourcesv1.Ordered)
	}
	destination(&s.Spec.Sink, s.Namespace)
	delivery(s.Spec.Delivery, s.Namespace)
}

// KafkaSourceV1Beta1 is KafkaSource for the older version, which says the same.
func KafkaSourceV1Beta1(s, old *sourcesv1beta1.KafkaSource, in Input) {
	asV1 := sourcesv1.KafkaSource{ObjectMeta: s.ObjectMeta, Spec: s.Spec}
	var before *sourcesv1.KafkaSource
	if old != nil {
		before = &sourcesv1.KafkaSource{ObjectMeta: old.ObjectMeta, Spec: old.Spec}
	}
	KafkaSource(&asV1, before, in)
	s.ObjectMeta, s.Spec = asV1.ObjectMeta, asV1.Spec
}

// JobSink completes s: every container of the Job is told how the event is given.
func JobSink(s, _ *sinksv1alpha1.JobSink, _ Input) {
	if s.Spec.Job == nil {
		return
	}
	pod := &s.Spec.Job.Spec.Template.Spec
	for _, containers := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		for i := range containers {
			told := slices.ContainsFunc(containers[i].Env, func(e corev1.EnvVar) bool { return e.Name == sinksv1alpha1.ExecutionModeEnvVar })
			if !told {
				containers[i].Env = append(containers[i].Env, corev1.EnvVar{
					Name: sinksv1alpha1.ExecutionModeEnvVar, Value: sinksv1alpha1.ExecutionModeBatch,
				})
			}
		}
	}
}

package broker

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	"ebb.dev/ebb/eventing/requestreply"
	"ebb.dev/ebb/eventing/sink/job"
	sink "ebb.dev/ebb/eventing/sink/kafka"
)

func TestARequestIsAnsweredForTheKindOfItsHost(t *testing.T) {
	says := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, what) })
	}
	p := &process{Options: Options{ClusterDomain: "cluster.local", Domain: "example.com"}}
	p.hosts(job.Host, &sinksv1alpha1.JobSink{}, says("jobs"))
	p.hosts(sink.Host, &eventingv1alpha1.KafkaSink{}, says("topics"))
	p.hosts(requestreply.Host, &eventingv1alpha1.RequestReply{}, says("replies"))
	for host, want := range map[string]string{
		"job-sink.knative-eventing.svc.cluster.local": "jobs", "Job-Sink.knative-eventing:80": "jobs", "job-sink.knative-eventing.svc.": "jobs",
		"job-sink.shop": "events", "job-sink.knative-eventing.example.com": "events", "broker-ingress.knative-eventing": "events", "": "events",
		"kafka-sink-ingress.knative-eventing.svc.cluster.local": "topics",
		"request-reply.knative-eventing":                        "replies", "request-reply.knative-eventing.example.com": "replies",
	} {
		w := httptest.NewRecorder()
		p.byHost(says("events")).ServeHTTP(w, &http.Request{Host: host})
		if got := w.Body.String(); got != want {
			t.Errorf("%q: %s, want %s", host, got, want)
		}
	}
	if h := p.at("job-sink.knative-eventing"); h == nil || fmt.Sprintf("%T", h.kind) != "*v1alpha1.JobSink" {
		t.Errorf("%+v", h)
	}
}

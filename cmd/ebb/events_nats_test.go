package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/nats"
)

// post sends an event to a host of the broker's and returns the status, 0 without an answer, and what was said.
func (s *steered) post(host, id, data string) (code int, said string) {
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.listen+"/", strings.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = host
	for name, value := range map[string]string{"Specversion": "1.0", "Id": id, "Source": "/me", "Type": "letter"} {
		r.Header.Set("Ce-"+name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

// takes waits until a host takes an event.
func (s *steered) takes(host, id string) {
	s.t.Helper()
	apiserver.Eventually(s.t, host+" takes event "+id, func(context.Context) bool {
		code, _ := s.post(host, id, "short")
		return code == http.StatusAccepted
	})
}

// One who subscribes late has everything that is kept, a limit of the channel's is one of its stream, and all of it outlives a restart; what
// was deleted while no broker ran is swept.
func TestANatsJetStreamChannelKeepsWhatItSays(t *testing.T) {
	t.Run("embedded log", func(t *testing.T) { channelKeepsWhatItSays(t, steer(t)) })
	t.Run("a NATS of one's own", func(t *testing.T) {
		url := nats.Start(t)
		s := steer(t)
		s.keeps = []string{"--nats", url}
		channelKeepsWhatItSays(t, s)
	})
}

func channelKeepsWhatItSays(t *testing.T, s *steered) {
	subscriber := httptest.NewServer(s)
	defer subscriber.Close()
	meta := metav1.ObjectMeta{Namespace: "default", Name: "letters"}
	channel := &messagingv1alpha1.NatsJetStreamChannel{ObjectMeta: meta}
	channel.Spec.Stream.Config = &messagingv1alpha1.StreamConfig{MaxMsgSize: 10}
	if err := s.api.Create(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	s.start()
	const host = "letters-kn-jsm-channel.default.svc.cluster.local"
	s.takes(host, "1")
	if code, _ := s.post(host, "2", "longer than ten bytes"); code != http.StatusRequestEntityTooLarge {
		t.Errorf("an event of more than maxMsgSize: %d", code)
	}
	subscription := &messagingv1.Subscription{ObjectMeta: meta}
	subscription.Spec.Channel = duck.KReference{APIVersion: "messaging.knative.dev/v1alpha1", Kind: "NatsJetStreamChannel", Name: "letters"}
	subscription.Spec.Subscriber = &duck.Destination{URI: &subscriber.URL}
	if err := s.api.Create(t.Context(), subscription); err != nil {
		t.Fatal(err)
	}
	s.gets("1")
	apiserver.Eventually(t, "the channel lists who reads it", func(ctx context.Context) bool {
		err := s.api.Get(ctx, client.ObjectKeyFromObject(channel), channel)
		listed := channel.Status.Subscribers
		return err == nil && len(listed) == 1 && listed[0].UID == subscription.UID && listed[0].Ready == corev1.ConditionTrue
	})
	if got := channel.Status.Address; got == nil || got.URL != "http://"+host {
		t.Errorf("address %+v", got)
	}
	s.stop()
	s.start()
	s.takes(host, "3")
	s.gets("1 3")
	s.stop()
	if err := s.api.Delete(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
	s.start()
	apiserver.Eventually(t, "what it stored is swept", func(context.Context) bool {
		return strings.Contains(s.said(), "stream of a deleted object dropped") && strings.Contains(s.said(), "channel."+string(channel.UID))
	})
	if code, _ := s.post(host, "4", "short"); code != http.StatusNotFound {
		t.Errorf("the channel is deleted, and is sent to: %d", code)
	}
}

// Who sends to a NatsJetStreamChannel needs a token for it, not for the channel in memory that has its name.
func TestANatsJetStreamChannelIsAskedForByItsHost(t *testing.T) {
	s := steer(t)
	meta := metav1.ObjectMeta{Namespace: "default", Name: "letters"}
	for _, o := range []client.Object{&messagingv1.InMemoryChannel{ObjectMeta: meta}, &messagingv1alpha1.NatsJetStreamChannel{ObjectMeta: meta}} {
		if err := s.api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	hosts := map[string]string{
		"letters-kn-channel.default.svc.cluster.local":     "messaging.knative.dev/inmemorychannel/default/letters",
		"letters-kn-jsm-channel.default.svc.cluster.local": "messaging.knative.dev/natsjetstreamchannel/default/letters",
	}
	for host := range hosts {
		s.takes(host, "1")
	}
	features := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: eventing.SystemNamespace, Name: "config-features"}, Data: map[string]string{"authentication-oidc": "enabled"}}
	if err := s.api.Create(t.Context(), features); err != nil {
		t.Fatal(err)
	}
	for host, audience := range hosts {
		apiserver.Eventually(t, host+" asks for a token for "+audience, func(context.Context) bool {
			code, said := s.post(host, "2", "short")
			return code == http.StatusUnauthorized && strings.Contains(said, audience)
		})
	}
}

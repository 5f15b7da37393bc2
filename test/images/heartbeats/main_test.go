package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAHeartbeatIsAnEventWithItsOverrides(t *testing.T) {
	var got http.Header
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.WriteHeader(http.StatusAccepted)
	}))
	defer sink.Close()
	overrides, err := extensions(`{"extensions":{"stage":"test"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := beat(sink.URL, "l", 7, overrides); err != nil {
		t.Fatal(err)
	}
	if got.Get("Ce-Type") != "dev.knative.eventing.samples.heartbeat" || got.Get("Ce-Stage") != "test" || got.Get("Ce-Id") == "" {
		t.Errorf("%v", got)
	}
	if _, err := extensions("{"); err == nil {
		t.Error("overrides that are none are taken")
	}
}

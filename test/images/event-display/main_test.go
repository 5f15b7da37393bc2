package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const want = `☁️  cloudevents.Event
Context Attributes,
  specversion: 1.0
  type: dev.knative.samples.helloworld
  source: me
  id: 1
  datacontenttype: application/json
Extensions,
  colour: red
Data,
  {
    "msg": "hi"
  }
`

func TestBothModesAreShownAlike(t *testing.T) {
	binary := httptest.NewRequest("POST", "/", strings.NewReader(`{"msg":"hi"}`))
	for k, v := range map[string]string{"ce-specversion": "1.0", "ce-type": "dev.knative.samples.helloworld", "ce-source": "me", "ce-id": "1", "ce-colour": "red", "Content-Type": "application/json"} {
		binary.Header.Set(k, v)
	}
	whole := httptest.NewRequest("POST", "/", strings.NewReader(`{"specversion":"1.0","type":"dev.knative.samples.helloworld","source":"me","id":"1","colour":"red","datacontenttype":"application/json","data":{"msg":"hi"}}`))
	whole.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	for name, r := range map[string]*http.Request{"binary": binary, "structured": whole} {
		var out strings.Builder
		w := httptest.NewRecorder()
		receive(&out)(w, r)
		if w.Code != http.StatusOK || out.String() != want {
			t.Errorf("%s: %d %s\n%s", name, w.Code, w.Body, out.String())
		}
	}
	w := httptest.NewRecorder()
	receive(&strings.Builder{})(w, httptest.NewRequest("POST", "/", strings.NewReader("x")))
	if w.Code != http.StatusBadRequest {
		t.Errorf("no event: %d", w.Code)
	}
}

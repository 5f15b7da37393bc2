package timed

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
)

// body is what an event carries.
type body struct{ contentType, data, base64 string }

// pingEvent is the event of a PingSource, as Knative's sends it.
func pingEvent(p *sourcesv1.PingSource) (event.Event, error) {
	e, err := made(sourcesv1.PingSourceEventType, fmt.Sprintf("/apis/v1/namespaces/%s/pingsources/%s", p.Namespace, p.Name),
		body{p.Spec.ContentType, p.Spec.Data, p.Spec.DataBase64})
	return overridden(e, p.Spec.CloudEventOverrides), err
}

// cronJobEvent is the event of a CronJobSource, as Knative's sent it: JSON, whatever the data is.
func cronJobEvent(c *sourcesv1.CronJobSource) (event.Event, error) {
	b := body{c.Spec.ContentType, c.Spec.Data, c.Spec.DataBase64}
	if b.contentType == "" && b.base64 == "" {
		b.contentType = "application/json"
		if !json.Valid([]byte(b.data)) {
			wrapped, err := json.Marshal(map[string]string{"body": b.data})
			if err != nil {
				return event.Event{}, err
			}
			b.data = string(wrapped)
		}
	}
	e, err := made(sourcesv1.CronJobSourceEventType, fmt.Sprintf("/apis/v1/namespaces/%s/cronjobsources/%s", c.Namespace, c.Name), b)
	return overridden(e, c.Spec.CloudEventOverrides), err
}

func made(kind, source string, b body) (event.Event, error) {
	e := event.New()
	e.SetType(kind)
	e.SetSource(source)
	data := []byte(b.data)
	if b.base64 != "" {
		var err error
		if data, err = base64.StdEncoding.DecodeString(b.base64); err != nil {
			return e, fmt.Errorf("spec.dataBase64: %w", err)
		}
	}
	if b.contentType != "" {
		e.SetDataContentType(b.contentType)
	}
	if len(data) > 0 {
		e.DataEncoded = data
	}
	return e, nil
}

func overridden(e event.Event, overrides *duck.CloudEventOverrides) event.Event {
	if overrides != nil {
		for name, value := range overrides.Extensions {
			e.SetExtension(name, value)
		}
	}
	return e
}

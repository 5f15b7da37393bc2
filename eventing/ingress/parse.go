package ingress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// errMedia: the request may well carry an event, but not in a form that is understood.
var errMedia = errors.New("unsupported")

// mediaPrefix begins the content types of structured and batched events.
const mediaPrefix = "application/cloudevents"

// batched reports whether the request carries a batch.
func batched(h http.Header) bool {
	return format.Lookup(h.Get("Content-Type")) == format.JSONBatch
}

// Parse reads the events of a request, in binary, structured or batched mode, of version 0.3 or 1.0, as valid events of version 1.0. It is
// the only thing that touches what strangers send.
func Parse(h http.Header, body []byte) ([]*event.Event, error) {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, fmt.Errorf("%w content encoding %q: send the event uncompressed", errMedia, coding)
	}
	message := cehttp.NewMessage(h, io.NopCloser(bytes.NewReader(body)))
	switch message.ReadEncoding() {
	case binding.EncodingBatch:
		return parseBatch(message)
	case binding.EncodingBinary, binding.EncodingStructured:
		e, err := binding.ToEvent(context.Background(), message)
		if err != nil {
			return nil, fmt.Errorf("malformed event: %w", err)
		}
		if err := normalize(e); err != nil {
			return nil, err
		}
		return []*event.Event{e}, nil
	}
	return nil, notAnEvent(h)
}

func parseBatch(message *cehttp.Message) ([]*event.Event, error) {
	events, err := binding.ToEvents(context.Background(), message, message.BodyReader)
	if err != nil {
		return nil, fmt.Errorf("malformed batch: %w", err)
	}
	out := make([]*event.Event, len(events))
	for i := range events {
		if err := normalize(&events[i]); err != nil {
			return nil, fmt.Errorf("event %d of the batch: %w", i, err)
		}
		out[i] = &events[i]
	}
	return out, nil
}

func notAnEvent(h http.Header) error {
	if media := h.Get("Content-Type"); strings.HasPrefix(strings.ToLower(media), mediaPrefix) {
		return fmt.Errorf("%w content type %q: use application/cloudevents+json or application/cloudevents-batch+json", errMedia, media)
	}
	if version := h.Get("Ce-Specversion"); version != "" {
		return fmt.Errorf("malformed event: ce-specversion %q is neither 1.0 nor 0.3", version)
	}
	return errors.New("malformed event: neither the header ce-specversion nor a content type application/cloudevents+json is there")
}

// normalize validates an event and makes it one of version 1.0.
func normalize(e *event.Event) error {
	if err := e.Validate(); err != nil {
		return fmt.Errorf("invalid event: %s", strings.TrimSpace(err.Error()))
	}
	for name := range e.Extensions() {
		if !event.IsExtensionNameValid(name) {
			return fmt.Errorf("invalid event: attribute name %q has other characters than letters and digits", name)
		}
	}
	old, is := e.Context.(*event.EventContextV03)
	if !is {
		return nil
	}
	c := old.AsV1()
	// The data is decoded by now; version 1.0 has no such attribute.
	delete(c.Extensions, event.DataContentEncodingKey)
	if c.DataSchema != nil && !c.DataSchema.Validate() {
		// Version 1.0 allows absolute references only.
		if err := c.SetExtension("schemaurl", c.DataSchema.String()); err != nil {
			return fmt.Errorf("invalid event: schemaurl: %w", err)
		}
		c.DataSchema = nil
	}
	e.Context = c
	return nil
}

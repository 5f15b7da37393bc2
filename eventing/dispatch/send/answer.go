package send

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// read makes an Answer of a response. A body that breaks off fails the attempt only where it matters: in a 200 that is a reply.
func (s *Sender) read(response *http.Response) (Answer, error) {
	a := Answer{Status: response.StatusCode, RetryAfter: response.Header.Get("Retry-After")}
	switch {
	case response.StatusCode == http.StatusOK && meant(response.Header):
		body, err := io.ReadAll(io.LimitReader(response.Body, s.options.ReplyBytes+1))
		if err != nil {
			return Answer{}, fmt.Errorf("reply: %w", err)
		}
		if int64(len(body)) > s.options.ReplyBytes {
			a.Malformed = true
			return a, nil
		}
		a.Reply, err = reply(response.Header, body)
		a.Malformed = err != nil
	case response.StatusCode < 200 || response.StatusCode > 299:
		body, _ := io.ReadAll(io.LimitReader(response.Body, textBytes))
		a.Text = string(body)
	}
	return a, nil
}

// meant says whether an answer looks as if it were an event.
func meant(h http.Header) bool {
	return h.Get("Ce-Specversion") != "" || strings.HasPrefix(h.Get("Content-Type"), "application/cloudevents")
}

// reply reads an event in binary or structured mode.
func reply(h http.Header, body []byte) (*event.Event, error) {
	plain := make(http.Header, len(h))
	for name, values := range h {
		if len(values) > 0 && strings.HasPrefix(name, "Ce-") {
			plain[name] = []string{unescape(values[0])}
		}
	}
	if t := h.Get("Content-Type"); t != "" {
		plain.Set("Content-Type", t)
	}
	message := cehttp.NewMessage(plain, io.NopCloser(bytes.NewReader(body)))
	e, err := binding.ToEvent(context.Background(), message)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

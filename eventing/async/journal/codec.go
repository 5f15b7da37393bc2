package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/async/request"
)

// Message is the stored part of a request or an answer.
type Message struct {
	// Host is that of a request, by which the internal gateway leads to its Service.
	Host   string      `json:"host,omitempty"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"-"`
}

// step is one event: a record, and at most one of request and answer.
type step struct {
	Record  request.Record `json:"record"`
	Request *Message       `json:"request,omitempty"`
	Answer  *Message       `json:"answer,omitempty"`
}

// What events of the journal say of themselves.
const (
	source      = "/ebb/async"
	kind        = "dev.ebb.async.step"
	contentType = "application/vnd.ebb.async"
)

var errCorrupt = errors.New("not a step of a request")

func (s step) message() *Message {
	if s.Request != nil {
		return s.Request
	}
	return s.Answer
}

// encode makes an event of a step: the length of the JSON, the JSON, the body.
func encode(s step) (*event.Event, error) {
	head, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", s.Record.ID, err)
	}
	var body []byte
	if m := s.message(); m != nil {
		body = m.Body
	}
	data := make([]byte, 0, binary.MaxVarintLen32+len(head)+len(body))
	data = binary.AppendUvarint(data, uint64(len(head)))
	data = append(append(data, head...), body...)
	e := event.New()
	e.SetID(fmt.Sprintf("%s/%d", s.Record.ID, s.Record.Version))
	e.SetSource(source)
	e.SetType(kind)
	e.SetDataContentType(contentType)
	e.DataEncoded = data
	return &e, nil
}

func decode(e *event.Event) (step, error) {
	var s step
	n, used := binary.Uvarint(e.DataEncoded)
	if used <= 0 || n > uint64(len(e.DataEncoded)-used) {
		return s, errCorrupt
	}
	head, body := e.DataEncoded[used:used+int(n)], e.DataEncoded[used+int(n):]
	if err := json.Unmarshal(head, &s); err != nil {
		return s, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if s.Record.ID == "" || (s.Request != nil && s.Answer != nil) {
		return s, errCorrupt
	}
	if m := s.message(); m != nil {
		m.Body = body
	}
	return s, nil
}

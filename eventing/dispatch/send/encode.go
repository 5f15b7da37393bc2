package send

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// traced are the extensions that travel as headers of their own too, so that tracing sees them.
var traced = []string{"traceparent", "tracestate"}

// encode is an event in binary or structured mode.
func encode(e *event.Event, structured bool) (http.Header, []byte, error) {
	header := make(http.Header, 12)
	for _, name := range traced {
		if v, ok := e.Extensions()[name].(string); ok && printable(v) {
			header.Set(name, v)
		}
	}
	if structured {
		body, err := json.Marshal(e)
		if err != nil {
			return nil, nil, fmt.Errorf("event %s of %s: %w", e.ID(), e.Source(), err)
		}
		header["Content-Type"] = []string{event.ApplicationCloudEventsJSON + "; charset=utf-8"}
		return header, body, nil
	}
	if err := attributes(header, e); err != nil {
		return nil, nil, fmt.Errorf("event %s of %s: %w", e.ID(), e.Source(), err)
	}
	return header, e.Data(), nil
}

// attributes sets the header of an event in binary mode.
func attributes(header http.Header, e *event.Event) error {
	set := func(name, value string) {
		if value != "" {
			header[textproto.CanonicalMIMEHeaderKey("ce-"+name)] = []string{escape(value)}
		}
	}
	set("specversion", e.SpecVersion())
	set("id", e.ID())
	set("type", e.Type())
	set("source", e.Source())
	set("subject", e.Subject())
	if t := e.Time(); !t.IsZero() {
		set("time", types.FormatTime(t))
	}
	if e.SpecVersion() == event.CloudEventsVersionV03 {
		set("schemaurl", e.DataSchema())
	} else {
		set("dataschema", e.DataSchema())
	}
	if t := e.DataContentType(); t != "" {
		if !printable(t) {
			return errors.New("datacontenttype: not fit for a header")
		}
		header["Content-Type"] = []string{t}
	}
	for name, value := range e.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		set(name, text)
	}
	return nil
}

const hex = "0123456789ABCDEF"

// plain says whether a byte of an attribute stands for itself in a header.
func plain(c byte) bool { return c > ' ' && c <= '~' && c != '"' && c != '%' }

// escape writes a value as the HTTP binding asks: bytes of UTF-8 that are not printable ASCII, blanks, quotes and percent signs as %XX.
func escape(s string) string {
	n := 0
	for i := range len(s) {
		if !plain(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 2*n)
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// unescape reads %XX; what only looks like it stays.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := nibble(s[i+1]), nibble(s[i+2])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// nibble is the value of a hexadecimal digit, -1 if it is none.
func nibble(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// printable says whether a text may be a header as it is.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

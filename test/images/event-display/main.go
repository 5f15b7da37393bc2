// Command event-display prints every CloudEvent it is sent, in the form of the public event_display.
package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

const (
	structured = "application/cloudevents+json"
	maxEvent   = 16 << 20 // bytes
)

// attributes are the context attributes in the order of display; all others are extensions.
var attributes = []string{"specversion", "type", "source", "subject", "id", "time", "dataschema", "datacontenttype"}

// event is a CloudEvent: attributes and extensions by name, and the data.
type event struct {
	context map[string]string
	data    []byte
}

func main() {
	http.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("POST /", receive(os.Stdout))
	log.Fatal(http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), nil))
}

func receive(out io.Writer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e, err := read(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if _, err := io.WriteString(out, e.String()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// read takes an event in binary or structured mode.
func read(r *http.Request) (*event, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxEvent))
	if err != nil {
		return nil, err
	}
	e := &event{context: map[string]string{}, data: body}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == structured {
		if e, err = parse(body); err != nil {
			return nil, err
		}
	} else {
		for name, values := range r.Header {
			if key, ok := strings.CutPrefix(strings.ToLower(name), "ce-"); ok {
				v, err := url.PathUnescape(values[0])
				if err != nil {
					v = values[0]
				}
				e.context[key] = v
			}
		}
		if v := r.Header.Get("Content-Type"); v != "" {
			e.context["datacontenttype"] = v
		}
	}
	for _, name := range []string{"specversion", "type", "source", "id"} {
		if e.context[name] == "" {
			return nil, errors.New("not a CloudEvent: " + name + " is missing")
		}
	}
	return e, nil
}

func parse(body []byte) (*event, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("not a CloudEvent: %w", err)
	}
	e := &event{context: map[string]string{}}
	for name, raw := range fields {
		var text string
		isText := json.Unmarshal(raw, &text) == nil
		switch name {
		case "data":
			e.data = raw
			if kind := fields["datacontenttype"]; isText && !bytes.Contains(kind, []byte("json")) && kind != nil {
				e.data = []byte(text)
			}
		case "data_base64":
			data, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return nil, fmt.Errorf("not a CloudEvent: data_base64: %w", err)
			}
			e.data = data
		default:
			if !isText {
				text = string(raw)
			}
			e.context[name] = text
		}
	}
	return e, nil
}

// String is the form of display.
func (e *event) String() string {
	var b strings.Builder
	b.WriteString("☁️  cloudevents.Event\nContext Attributes,\n")
	for _, name := range attributes {
		if v := e.context[name]; v != "" {
			fmt.Fprintf(&b, "  %s: %s\n", name, v)
		}
	}
	extensions := slices.DeleteFunc(slices.Sorted(maps.Keys(e.context)), func(n string) bool { return slices.Contains(attributes, n) })
	if len(extensions) > 0 {
		b.WriteString("Extensions,\n")
		for _, name := range extensions {
			fmt.Fprintf(&b, "  %s: %s\n", name, e.context[name])
		}
	}
	if len(e.data) > 0 {
		b.WriteString("Data,\n  ")
		var pretty bytes.Buffer
		if strings.Contains(e.context["datacontenttype"], "json") && json.Indent(&pretty, e.data, "  ", "  ") == nil {
			b.Write(pretty.Bytes())
		} else {
			b.Write(e.data)
		}
		b.WriteString("\n")
	}
	return b.String()
}

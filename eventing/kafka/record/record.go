package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// prefix is that of attributes' headers.
	prefix = "ce_"
	// contentType is the header of the data's media type.
	contentType = "content-type"
	// structured begins the content types of events as JSON.
	structured = "application/cloudevents+json"
	// typesHeader keeps what text cannot: the types of extensions that are not text, and that the data is shown as base64. Others ignore it.
	typesHeader = "ebb-types"
	// PartitionKey is the extension that is a record's key.
	PartitionKey = "partitionkey"
	// hops is an extension that every Broker writes and takes off again: its type is known.
	hops = "knativebrokerttl"
)

// ErrPlain: the record is no CloudEvent.
var ErrPlain = errors.New("the record is no CloudEvent")

// The names that typesHeader has for types.
const (
	typeInteger = "integer"
	typeBoolean = "boolean"
	typeBinary  = "binary"
	typeTime    = "time"
	typeBase64  = "=base64"
)

// Key is an event's key in Kafka: its extension partitionkey, nil without one.
func Key(e *event.Event) []byte {
	value, has := e.Extensions()[PartitionKey]
	if !has {
		return nil
	}
	text, err := types.Format(value)
	if err != nil {
		return nil
	}
	return []byte(text)
}

// Binary is an event as a record in binary mode, with neither topic nor partition. They share the data.
func Binary(e *event.Event) (*kgo.Record, error) {
	out := &kgo.Record{Key: Key(e), Value: e.DataEncoded}
	add := func(name, value string) {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	add(prefix+"specversion", e.SpecVersion())
	add(prefix+"id", e.ID())
	add(prefix+"source", e.Source())
	add(prefix+"type", e.Type())
	if s := e.Subject(); s != "" {
		add(prefix+"subject", s)
	}
	if t := e.Time(); !t.IsZero() {
		add(prefix+"time", t.UTC().Format(time.RFC3339Nano))
	}
	if s := e.DataSchema(); s != "" {
		add(prefix+"dataschema", s)
	}
	if media := e.DataContentType(); media != "" {
		add(contentType, media)
	}
	var kept []string
	extensions := e.Extensions()
	for _, name := range slices.Sorted(maps.Keys(extensions)) {
		text, err := types.Format(extensions[name])
		if err != nil {
			return nil, fmt.Errorf("event %s of %s: extension %s: %w", e.ID(), e.Source(), name, err)
		}
		add(prefix+name, text)
		if kind := typeOf(extensions[name]); kind != "" && name != hops {
			kept = append(kept, name+"="+kind)
		}
	}
	if e.DataBase64 && utf8.Valid(e.DataEncoded) {
		kept = append(kept, typeBase64)
	}
	if len(kept) > 0 {
		add(typesHeader, strings.Join(kept, ","))
	}
	return out, nil
}

// typeOf names an extension's type where its text does not tell.
func typeOf(value any) string {
	switch value.(type) {
	case int32:
		return typeInteger
	case bool:
		return typeBoolean
	case []byte:
		return typeBinary
	case types.Timestamp:
		return typeTime
	}
	return ""
}

// Structured is an event as a record in structured mode, with neither topic nor partition.
func Structured(e *event.Event) (*kgo.Record, error) {
	value, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("event %s of %s as JSON: %w", e.ID(), e.Source(), err)
	}
	return &kgo.Record{
		Key: Key(e), Value: value, Headers: []kgo.RecordHeader{{Key: contentType, Value: []byte(structured + "; charset=UTF-8")}},
	}, nil
}

// Event reads a record as a valid event of version 1.0. They share the data. An error that is ErrPlain says that the record does not claim to be
// one; any other, that it does and is not.
func Event(r *kgo.Record) (*event.Event, error) {
	media, version := header(r, contentType), header(r, prefix+"specversion")
	var e *event.Event
	var err error
	switch {
	case version != "":
		e, err = binary(r, version)
	case strings.HasPrefix(strings.ToLower(media), structured):
		e = &event.Event{}
		err = json.Unmarshal(r.Value, e)
	default:
		return nil, ErrPlain
	}
	if err != nil {
		return nil, fmt.Errorf("malformed event: %w", err)
	}
	if old, is := e.Context.(*event.EventContextV03); is {
		v1 := old.AsV1()
		delete(v1.Extensions, event.DataContentEncodingKey)
		e.Context = v1
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("invalid event: %s", strings.TrimSpace(err.Error()))
	}
	return e, nil
}

// header is the last of a name, whose case does not count.
func header(r *kgo.Record, name string) string {
	value := ""
	for _, h := range r.Headers {
		if strings.EqualFold(h.Key, name) {
			value = string(h.Value)
		}
	}
	return value
}

var versions = spec.WithPrefix(prefix)

func binary(r *kgo.Record, written string) (*event.Event, error) {
	version := versions.Version(written)
	if version == nil {
		return nil, fmt.Errorf("%sspecversion %q is neither 1.0 nor 0.3", prefix, written)
	}
	e := event.New(version.String())
	e.DataEncoded = r.Value
	e.DataBase64 = !utf8.Valid(r.Value)
	kept := ""
	for _, h := range r.Headers {
		name := strings.ToLower(h.Key)
		switch {
		case name == prefix+"specversion":
		case name == contentType:
			if err := e.Context.SetDataContentType(string(h.Value)); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		case name == typesHeader:
			kept = string(h.Value)
		case strings.HasPrefix(name, prefix):
			if err := version.SetAttribute(e.Context, name, string(h.Value)); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for entry := range strings.SplitSeq(kept, ",") {
		if entry == typeBase64 {
			e.DataBase64 = true
			continue
		}
		if name, kind, ok := strings.Cut(entry, "="); ok {
			retype(&e, name, kind)
		}
	}
	return &e, nil
}

// retype gives an extension back the type it had. One that does not fit stays text.
func retype(e *event.Event, name, kind string) {
	text, ok := e.Extensions()[name].(string)
	if !ok {
		return
	}
	var value any
	var err error
	switch kind {
	case typeInteger:
		value, err = types.ParseInteger(text)
	case typeBoolean:
		value, err = types.ParseBool(text)
	case typeBinary:
		value, err = types.ParseBinary(text)
	case typeTime:
		var t time.Time
		t, err = types.ParseTime(text)
		value = types.Timestamp{Time: t}
	default:
		return
	}
	if err == nil {
		e.SetExtension(name, value)
	}
}

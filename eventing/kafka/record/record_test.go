package record

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"
)

func rich() *event.Event {
	e := event.New()
	e.SetID("ä 1")
	e.SetSource("/a/b?c=d#e")
	e.SetType("order.created")
	e.SetSubject("subject")
	e.SetTime(time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC))
	e.SetDataSchema("https://example.com/schema")
	e.SetExtension("partitionkey", "customer-7")
	e.SetExtension("number", 7)
	e.SetExtension("yes", true)
	e.SetExtension("bytes", []byte{0, 1})
	e.SetExtension("knativebrokerttl", int32(255))
	e.SetExtension("when", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	_ = e.SetData("application/json", map[string]any{"a": 1})
	return &e
}

func headers(r *kgo.Record) map[string]string {
	out := map[string]string{}
	for _, h := range r.Headers {
		out[h.Key] = string(h.Value)
	}
	return out
}

func TestOthersReadRecordsAsTheBindingSays(t *testing.T) {
	r, err := Binary(rich())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"ce_specversion": "1.0", "ce_id": "ä 1", "ce_source": "/a/b?c=d#e", "ce_type": "order.created", "ce_subject": "subject",
		"ce_time": "2026-02-03T04:05:06.000000789Z", "ce_dataschema": "https://example.com/schema", "content-type": "application/json",
		"ce_partitionkey": "customer-7", "ce_number": "7", "ce_yes": "true", "ce_bytes": "AAE=", "ce_knativebrokerttl": "255", "ce_when": "2026-01-01T00:00:00Z",
		"ebb-types": "bytes=binary,number=integer,when=time,yes=boolean",
	}
	if got := headers(r); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
	if string(r.Key) != "customer-7" || string(r.Value) != `{"a":1}` {
		t.Errorf("key %q, value %q", r.Key, r.Value)
	}
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	bare := event.New()
	bare.SetID("1")
	bare.SetSource("s")
	bare.SetType("t")
	empty := bare.Clone()
	empty.DataEncoded = []byte{}
	base64 := bare.Clone()
	base64.DataEncoded, base64.DataBase64 = []byte("text"), true
	for name, e := range map[string]*event.Event{"rich": rich(), "no data": &bare, "empty data": &empty, "base64": &base64} {
		r, err := Binary(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Event(r)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != e.String() || fmt.Sprintf("%#v", got.Extensions()["number"]) != fmt.Sprintf("%#v", e.Extensions()["number"]) ||
			(got.DataEncoded == nil) != (e.DataEncoded == nil) || got.DataBase64 != e.DataBase64 {
			t.Errorf("%s: got\n%v\nwant\n%v", name, got, e)
		}
	}
}

func TestStructuredRecordsAreRead(t *testing.T) {
	r, err := Structured(rich())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Event(r)
	if err != nil || got.ID() != "ä 1" || string(got.Data()) != `{"a":1}` || string(r.Key) != "customer-7" {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestRecordsThatAreNoEventsAreToldApart(t *testing.T) {
	with := func(pairs ...string) *kgo.Record {
		r := &kgo.Record{Value: []byte("{")}
		for i := 0; i < len(pairs); i += 2 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
		return r
	}
	for name, c := range map[string]struct {
		r     *kgo.Record
		plain bool
		want  string
	}{
		"nothing":             {with(), true, "no CloudEvent"},
		"another header":      {with("content-type", "application/json", "trace", "x"), true, "no CloudEvent"},
		"a version of nobody": {with("ce_specversion", "2.0"), false, "specversion"},
		"no id":               {with("ce_specversion", "1.0", "ce_type", "t", "ce_source", "s"), false, "id"},
		"no JSON":             {with("content-type", "application/cloudevents+json"), false, "malformed"},
		"no time":             {with("ce_specversion", "1.0", "ce_id", "1", "ce_type", "t", "ce_source", "s", "ce_time", "noon"), false, "time"},
	} {
		e, err := Event(c.r)
		if err == nil || errors.Is(err, ErrPlain) != c.plain || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}

func TestOlderEventsBecomeThoseOfToday(t *testing.T) {
	r := &kgo.Record{Value: []byte("x")}
	for key, value := range map[string]string{"ce_specversion": "0.3", "ce_id": "1", "ce_type": "t", "ce_source": "/s", "CE_More": "yes"} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	e, err := Event(r)
	if err != nil || e.SpecVersion() != "1.0" || e.Extensions()["more"] != "yes" {
		t.Fatalf("%v, %v", e, err)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add("ce_specversion", "1.0", "ce_id", "1", "ebb-types", "a=integer", []byte("x"))
	f.Add("content-type", "application/cloudevents+json", "ce_a", "b", "x", "y", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t"}`))
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3 string, value []byte) {
		r := &kgo.Record{Value: value, Headers: []kgo.RecordHeader{
			{Key: "ce_type", Value: []byte("t")}, {Key: "ce_source", Value: []byte("s")},
			{Key: k1, Value: []byte(v1)}, {Key: k2, Value: []byte(v2)}, {Key: k3, Value: []byte(v3)},
		}}
		e, err := Event(r)
		if err != nil {
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("not valid: %v", err)
		}
		again, err := Binary(e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Event(again); err != nil || back.String() != e.String() {
			t.Fatalf("%v\nbecame\n%v, %v", e, back, err)
		}
	})
}

package kafka

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/eventing/kafka/record"
	"ebb.dev/ebb/eventing/model"
)

var converter = Converter{Source: model.Key{Namespace: "shop", Name: "orders"}}

func TestPlainRecordsBecomeTheEventsThatKnativeMakes(t *testing.T) {
	r := &kgo.Record{
		Topic: "orders", Partition: 3, Offset: 17, Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Key: []byte("customer-7"), Value: []byte(`{"a":1}`),
		Headers: []kgo.RecordHeader{{Key: "Content-Type", Value: []byte("Application/JSON")}, {Key: "Trace_ID", Value: []byte("x1")}, {Key: "!", Value: []byte("y")}},
	}
	c := converter
	c.Overrides = map[string]string{"team": "shop"}
	e := c.Event(r)
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	if e.Type() != "dev.knative.kafka.event" || e.Source() != "/apis/v1/namespaces/shop/kafkasources/orders#orders" || e.ID() != "partition:3/offset:17" ||
		e.Subject() != "partition:3#17" || !e.Time().Equal(r.Timestamp) || e.DataContentType() != "application/json" || string(e.Data()) != `{"a":1}` {
		t.Errorf("%v", e)
	}
	want := map[string]any{"partitionkey": "customer-7", "key": "customer-7", "kafkaheadertraceid": "x1", "team": "shop"}
	if fmt.Sprint(e.Extensions()) != fmt.Sprint(want) {
		t.Errorf("%v", e.Extensions())
	}
}

func TestKeysAreReadAsTheirTypeSays(t *testing.T) {
	seven := binary.BigEndian.AppendUint32(nil, 7)
	half := binary.BigEndian.AppendUint64(nil, math.Float64bits(0.5))
	for _, c := range []struct {
		kind string
		key  []byte
		want any
	}{
		{"", []byte("a"), "a"}, {"string", []byte("a"), "a"}, {"int", seven, int32(7)}, {"int", []byte("seven"), "seven"}, {"float", half, "0.5"},
		{"float", binary.BigEndian.AppendUint32(nil, math.Float32bits(0.25)), "0.25"}, {"float", []byte("a half"), "a half"}, {"byte-array", []byte{0, 1}, []byte{0, 1}}, {"string", nil, nil},
	} {
		with := converter
		with.KeyType = c.kind
		got := with.Event(&kgo.Record{Key: c.key}).Extensions()["key"]
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", c.want) {
			t.Errorf("%s of %v: %#v", c.kind, c.key, got)
		}
	}
}

func TestCloudEventsPassAsTheyAre(t *testing.T) {
	e := converter.Event(&kgo.Record{Topic: "orders"})
	e.SetType("order.created")
	r, err := record.Binary(e)
	if err != nil {
		t.Fatal(err)
	}
	r.Topic, r.Offset = "orders", 99
	if got := converter.Event(r); got.Type() != "order.created" || got.ID() != e.ID() {
		t.Errorf("%v", got)
	}
}

func FuzzPlainRecords(f *testing.F) {
	f.Add("key", "header", "value", []byte("data"), "int")
	f.Add("\xff", "Ä", "\xff\x00", []byte{0xff}, "byte-array")
	f.Fuzz(func(t *testing.T, key, header, value string, data []byte, kind string) {
		c := converter
		c.KeyType = kind
		e := c.Event(&kgo.Record{Topic: "t", Key: []byte(key), Value: data, Timestamp: time.Unix(1, 0), Headers: []kgo.RecordHeader{{Key: header, Value: []byte(value)}}})
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

package kafka

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/kafka/record"
	"ebb.dev/ebb/eventing/model"
)

// Converter makes events of records.
type Converter struct {
	// Source is the KafkaSource that the events are from.
	Source model.Key
	// KeyType is how keys are read: string, int, float or byte-array; "" is string.
	KeyType string
	// Overrides are extensions that every event gets.
	Overrides map[string]string
}

const (
	keyExtension    = "key"
	headerExtension = "kafkaheader"
	contentType     = "content-type"
)

// Event is a record as an event: the one that it is, or one made of it.
func (c *Converter) Event(r *kgo.Record) *event.Event {
	e, err := record.Event(r)
	if err != nil {
		e = c.plain(r)
	}
	for name, value := range c.Overrides {
		e.SetExtension(name, value)
	}
	return e
}

// SourceOf is the source of the events made of a topic's records.
func (c *Converter) SourceOf(topic string) string {
	return "/apis/v1/namespaces/" + c.Source.Namespace + "/kafkasources/" + c.Source.Name + "#" + topic
}

func (c *Converter) plain(r *kgo.Record) *event.Event {
	partition, offset := strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.Offset, 10)
	e := event.New()
	e.SetType(sourcesv1.KafkaSourceEventType)
	e.SetSource(c.SourceOf(r.Topic))
	e.SetID("partition:" + partition + "/offset:" + offset)
	e.SetSubject("partition:" + partition + "#" + offset)
	e.SetTime(r.Timestamp.UTC())
	for _, h := range r.Headers {
		if strings.EqualFold(h.Key, contentType) {
			e.SetDataContentType(strings.ToLower(string(h.Value)))
			continue
		}
		if name := headerExtension + lettersAndDigits(h.Key); name != headerExtension {
			e.SetExtension(name, strings.ToValidUTF8(string(h.Value), "\uFFFD"))
		}
	}
	if key := c.key(r.Key); key != nil {
		e.SetExtension(extension.PartitionKey, key)
		e.SetExtension(keyExtension, key)
	}
	e.DataEncoded, e.DataBase64 = r.Value, !utf8.Valid(r.Value)
	return &e
}

// lettersAndDigits is what of a name can be in that of an extension.
func lettersAndDigits(name string) string {
	return strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			return r
		}
		return -1
	}, strings.ToLower(name))
}

// key reads a record's key as its type says; nil for none.
func (c *Converter) key(key []byte) any {
	if len(key) == 0 {
		return nil
	}
	switch {
	case c.KeyType == "byte-array":
		return key
	case c.KeyType == "int" && len(key) == 4:
		return int32(binary.BigEndian.Uint32(key))
	case c.KeyType == "float" && len(key) == 4:
		return strconv.FormatFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(key))), 'g', -1, 32)
	case c.KeyType == "float" && len(key) == 8:
		return strconv.FormatFloat(math.Float64frombits(binary.BigEndian.Uint64(key)), 'g', -1, 64)
	}
	return strings.ToValidUTF8(string(key), "\uFFFD")
}

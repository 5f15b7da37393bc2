package jetstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// errCorrupt is what a commit or an event that was not written by this package decodes to.
var errCorrupt = errors.New("corrupt record")

// What an event has besides id, source and type.
const (
	hasContentType = 1 << iota
	hasSubject
	hasTime
	hasSchema
	hasData
	isBase64
)

// The types of extension values.
const (
	tagString = iota
	tagBool
	tagInteger
	tagBinary
	tagURI
	tagURIRef
	tagTime
)

// encodeEvent appends an event, as version 1.0, to b.
func encodeEvent(b []byte, e *event.Event) ([]byte, error) {
	if e == nil || e.Context == nil {
		return nil, errors.New("an event without a context cannot be stored")
	}
	c, ok := e.Context.(*event.EventContextV1)
	if !ok {
		c = e.Context.AsV1()
	}
	b = append(b, present(c, e))
	b = appendString(b, c.ID)
	b = appendString(b, c.Source.String())
	b = appendString(b, c.Type)
	if c.DataContentType != nil {
		b = appendString(b, *c.DataContentType)
	}
	if c.Subject != nil {
		b = appendString(b, *c.Subject)
	}
	if c.Time != nil {
		b = appendTime(b, c.Time.Time)
	}
	if c.DataSchema != nil {
		b = appendString(b, c.DataSchema.String())
	}
	b = binary.AppendUvarint(b, uint64(len(c.Extensions)))
	for name, value := range c.Extensions {
		var err error
		if b, err = appendExtension(b, name, value); err != nil {
			return nil, fmt.Errorf("event %s of %s: extension %s: %w", c.ID, c.Source.String(), name, err)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(e.DataEncoded)))
	return append(b, e.DataEncoded...), nil
}

func present(c *event.EventContextV1, e *event.Event) byte {
	var flags byte
	if c.DataContentType != nil {
		flags |= hasContentType
	}
	if c.Subject != nil {
		flags |= hasSubject
	}
	if c.Time != nil {
		flags |= hasTime
	}
	if c.DataSchema != nil {
		flags |= hasSchema
	}
	if e.DataEncoded != nil {
		flags |= hasData
	}
	if e.DataBase64 {
		flags |= isBase64
	}
	return flags
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	b = binary.AppendVarint(b, t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

func appendExtension(b []byte, name string, value any) ([]byte, error) {
	value, err := types.Validate(value)
	if err != nil {
		return nil, err
	}
	b = appendString(b, name)
	switch v := value.(type) {
	case string:
		return appendString(append(b, tagString), v), nil
	case bool:
		if v {
			return append(b, tagBool, 1), nil
		}
		return append(b, tagBool, 0), nil
	case int32:
		return binary.AppendVarint(append(b, tagInteger), int64(v)), nil
	case []byte:
		return appendString(append(b, tagBinary), string(v)), nil
	case types.URI:
		return appendString(append(b, tagURI), v.String()), nil
	case types.URIRef:
		return appendString(append(b, tagURIRef), v.String()), nil
	case types.Timestamp:
		return appendTime(append(b, tagTime), v.Time), nil
	}
	return nil, fmt.Errorf("%T is no type of an attribute", value)
}

// decoder reads what the append functions wrote; after an error it reads nothing but zeroes.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.b, d.err = nil, errCorrupt
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// bytes is a part of what is decoded, not a copy.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string {
	return string(d.bytes())
}

func (d *decoder) time() time.Time {
	seconds, nanos := d.varint(), d.uvarint()
	if nanos >= uint64(time.Second) {
		d.fail()
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

// decodeEvent reads one event; it keeps nothing of b.
func decodeEvent(b []byte) (*event.Event, error) {
	d := &decoder{b: b}
	flags := d.byte()
	c := &event.EventContextV1{ID: d.string()}
	source := d.string()
	c.Type = d.string()
	if uri := types.ParseURIRef(source); uri != nil {
		c.Source = *uri
	}
	if flags&hasContentType != 0 {
		s := d.string()
		c.DataContentType = &s
	}
	if flags&hasSubject != 0 {
		s := d.string()
		c.Subject = &s
	}
	if flags&hasTime != 0 {
		c.Time = &types.Timestamp{Time: d.time()}
	}
	if flags&hasSchema != 0 {
		c.DataSchema = types.ParseURI(d.string())
	}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		name := d.string()
		if c.Extensions == nil {
			c.Extensions = make(map[string]any)
		}
		c.Extensions[name] = d.extension()
	}
	e := &event.Event{Context: c, DataBase64: flags&isBase64 != 0}
	if data := d.bytes(); flags&hasData != 0 {
		e.DataEncoded = append(make([]byte, 0, len(data)), data...)
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail()
	}
	return e, d.err
}

func (d *decoder) extension() any {
	switch tag := d.byte(); tag {
	case tagString:
		return d.string()
	case tagBool:
		return d.byte() == 1
	case tagInteger:
		v := d.varint()
		if v < math.MinInt32 || v > math.MaxInt32 {
			d.fail()
			return nil
		}
		return int32(v)
	case tagBinary:
		return slices.Clone(d.bytes())
	case tagURI, tagURIRef:
		return d.uri(tag)
	case tagTime:
		return types.Timestamp{Time: d.time()}
	}
	d.fail()
	return nil
}

func (d *decoder) uri(tag byte) any {
	s := d.string()
	if tag == tagURI {
		if u := types.ParseURI(s); u != nil {
			return *u
		}
		return types.URI{}
	}
	if u := types.ParseURIRef(s); u != nil {
		return *u
	}
	return types.URIRef{}
}

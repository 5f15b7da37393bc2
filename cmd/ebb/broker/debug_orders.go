package broker

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// order is one order of a stream's events: all of them, or those of one partition of a topic.
type order struct {
	stream    model.StreamID
	partition *int32
}

// PlaceOf is how a position is written: N, or PARTITION/N in a Broker that is a topic of Kafka, whose partitions count for themselves.
func PlaceOf(partition *int32, n log.Position) string {
	text := strconv.FormatUint(uint64(n), 10)
	if partition == nil {
		return text
	}
	return strconv.Itoa(int(*partition)) + "/" + text
}

// ParsePlace reads what PlaceOf writes.
func ParsePlace(text string) (partition *int32, n log.Position, err error) {
	before, after, several := strings.Cut(text, "/")
	if several {
		number, err := strconv.ParseInt(before, 10, 32)
		if err != nil || number < 0 {
			return nil, 0, fmt.Errorf("%q is no partition", before)
		}
		of := int32(number)
		partition, text = &of, after
	}
	at, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("%q is no position", text)
	}
	return partition, log.Position(at), nil
}

// Place is the event's position as people read it.
func (s Stored) Place() string { return PlaceOf(s.Partition, s.Position) }

// partOf is a Trigger as the reader of one order.
type partOf struct {
	dispatch.Reader
	order
}

// partsOf are the readers of a Trigger: one, or one for each partition, in order.
func (p *eventPages) partsOf(key model.Key) ([]partOf, error) {
	var out []partOf
	for _, reader := range p.readers.Snapshot() {
		if reader.Kind == model.Trigger && reader.Key == key {
			out = append(out, partOf{reader, orderOf(reader.Stream)})
		}
	}
	if len(out) == 0 {
		return nil, absent{fmt.Errorf("Trigger %s gets no events here: it is not there, or its Broker is not ready; see: ebb kubectl get triggers -n %s",
			key, key.Namespace)}
	}
	slices.SortFunc(out, func(a, b partOf) int { return cmp.Compare(number32(a.partition), number32(b.partition)) })
	return out, nil
}

// among are those of a Trigger's readers that a partition means: all without one.
func among(parts []partOf, of *int32, name string) ([]partOf, error) {
	if of == nil {
		return parts, nil
	}
	all := make([]order, len(parts))
	for i := range parts {
		all[i] = parts[i].order
	}
	wanted, err := pick(all, of, name)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(parts), func(part partOf) bool { return part.order.stream != wanted.stream }), nil
}

// orders are those of a stream: one, or one for each partition.
func (p *eventPages) orders(stream model.StreamID) ([]order, error) {
	var parts []model.StreamID
	if p.partitions != nil {
		var err error
		if parts, err = p.partitions(stream); err != nil {
			return nil, err
		}
	}
	if len(parts) == 0 {
		return []order{{stream: stream}}, nil
	}
	out := make([]order, 0, len(parts))
	for _, part := range parts {
		out = append(out, orderOf(part))
	}
	return out, nil
}

// orderOf is the order that a stream's or a partition's name means.
func orderOf(stream model.StreamID) order {
	if _, n := partition.Of(stream); n >= 0 {
		return order{stream, &n}
	}
	return order{stream: stream}
}

// order is the one that a partition, or none, means in a stream; name is what asks for it.
func (p *eventPages) order(stream model.StreamID, of *int32, name string) (order, error) {
	all, err := p.orders(stream)
	if err != nil {
		return order{}, err
	}
	return pick(all, of, name)
}

// pick is the order of a partition among several; without one, the only one there is.
func pick(all []order, of *int32, name string) (order, error) {
	if of == nil && len(all) == 1 {
		return all[0], nil
	}
	if of == nil {
		return order{}, badRequest{fmt.Errorf("%s: the Broker is a topic of %d partitions, each with positions of its own: write PARTITION/POSITION, such as 0/17", name, len(all))}
	}
	i := slices.IndexFunc(all, func(o order) bool { return o.partition != nil && *o.partition == *of })
	if i < 0 && all[0].partition == nil {
		return order{}, badRequest{fmt.Errorf("%s: the Broker has no partitions: write a position alone, such as 17", name)}
	}
	if i < 0 {
		return order{}, absent{fmt.Errorf("%s: there is no partition %d; there are %d, from 0", name, *of, len(all))}
	}
	return all[i], nil
}

// placedRecord is a record and the order that it is in.
type placedRecord struct {
	log.Record
	partition *int32
}

// lastOf reads the last n records that all orders of a stream keep together, by when they were stored, and says where each of the orders goes on.
func (p *eventPages) lastOf(ctx context.Context, all []order, n int) (records []placedRecord, next []log.Position, err error) {
	next = make([]log.Position, len(all))
	for i, o := range all {
		var of []log.Record
		if of, next[i], err = p.last(ctx, o.stream, n); err != nil {
			return nil, nil, err
		}
		for _, record := range of {
			records = append(records, placedRecord{record, o.partition})
		}
	}
	if len(all) > 1 {
		// Within a partition times may stand still: what is stable keeps its order.
		slices.SortStableFunc(records, func(a, b placedRecord) int { return a.Stored.Compare(b.Stored) })
	}
	return records[max(0, len(records)-n):], next, nil
}

// partitionIn reads ?partition=, which may be left out.
func partitionIn(r *http.Request) (*int32, error) {
	text := r.URL.Query().Get("partition")
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return nil, badRequest{fmt.Errorf("partition=%s: must be a number from 0", text)}
	}
	of := int32(n)
	return &of, nil
}

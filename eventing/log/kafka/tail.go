package kafka

import (
	"context"
	"errors"
	"sort"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/eventing/log"
)

// What the tail of one partition keeps in memory for its followers.
const (
	tailRecords = 1024
	tailBytes   = 1 << 20
)

// tailWait bounds how long a fetch waits for something new, and so how long a partition waits that is followed from now on.
const tailWait = 500 * time.Millisecond

// tailOptions are those of the client that follows.
var tailOptions = []kgo.Opt{
	kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(tailWait), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	kgo.FetchMaxPartitionBytes(tailBytes),
}

// partitionName is a partition of a topic.
type partitionName struct {
	topic string
	n     int32
}

// tails follow the ends of all partitions that somebody follows, over one connection to each of Kafka's brokers.
type tails struct {
	log    *Log
	client *kgo.Client

	// states is the topic of states, which is looked through as well.
	states string

	mu  sync.Mutex
	all map[partitionName]*tail
}

// watch looks through the topic of states from an offset on.
func (t *tails) watch(states string, offset int64) {
	t.states = states
	t.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{states: {0: kgo.NewOffset().At(offset)}})
}

func newTails(l *Log, client *kgo.Client) *tails {
	return &tails{log: l, client: client, all: map[partitionName]*tail{}}
}

// tail makes the tail of a partition that nobody follows yet.
func (t *tails) tail(s *stream, n int32) *tail {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := partitionName{s.topic, n}
	one := &tail{tails: t, name: name, decode: s.decode, changed: make(chan struct{})}
	t.all[name] = one
	return one
}

// drop ends the tails of a topic.
func (t *tails) drop(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, one := range t.all {
		if name.topic == topic {
			one.stop()
			delete(t.all, name)
		}
	}
}

func (t *tails) find(topic string, n int32) *tail {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[partitionName{topic, n}]
}

// run hands on what comes in until the log is closed.
func (t *tails) run() {
	for t.log.ctx.Err() == nil {
		fetches := t.client.PollFetches(t.log.ctx)
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(topic string, n int32, err error) {
			if topic == t.states && !errors.Is(err, context.Canceled) {
				t.log.options.Logger.Warn("topic of states is looked through from its end again", "topic", topic, "error", err)
				t.client.RemoveConsumePartitions(map[string][]int32{topic: {n}})
				t.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {n: kgo.NewOffset().AtEnd()}})
				return
			}
			one := t.find(topic, n)
			if one == nil || errors.Is(err, context.Canceled) {
				return
			}
			t.log.options.Logger.Warn("topic is followed anew", "topic", topic, "partition", n, "error", err)
			one.stop()
		})
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if p.Topic == t.states {
				t.log.states.arrived(p.Records)
				return
			}
			if one := t.find(p.Topic, p.Partition); one != nil && len(p.Records) > 0 {
				one.arrived(p.Records)
			}
		})
	}
}

// tail is the end of one partition while somebody follows it.
type tail struct {
	tails *tails
	name  partitionName
	// decode reads what is in records.
	decode func([]*kgo.Record) []log.Record

	mu        sync.Mutex
	followers int
	active    bool
	// records are all of [first, next) that are events. next only grows, also while nobody follows: what a fetch that is out of date brings is
	// told by it.
	records     []log.Record
	bytes       int
	first, next int64
	// changed is closed when something came or the tail was stopped.
	changed chan struct{}
}

// read returns what is in memory from an offset on, and the offset to go on with; a channel to wait on if there is nothing yet; or neither, with
// the offset itself, if it has to be read from Kafka.
func (t *tail) read(offset int64) (records []log.Record, next int64, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.active || offset < t.first:
		return nil, offset, nil
	case offset >= t.next:
		return nil, offset, t.changed
	}
	i := sort.Search(len(t.records), func(i int) bool { return offsetOf(t.records[i].Position) >= offset })
	return t.records[i:len(t.records):len(t.records)], t.next, nil
}

// join says that somebody follows who has seen everything before an offset, which was the end; joined, that they had said so before. It
// returns false for one who is to look again first.
func (t *tail) join(offset int64, joined bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active {
		if offset < t.next {
			return joined
		}
		t.active, t.first, t.next = true, offset, offset
		t.tails.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.name.topic: {t.name.n: kgo.NewOffset().At(offset)}})
	}
	if !joined {
		t.followers++
	}
	return true
}

// leave undoes join.
func (t *tail) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.followers--; t.followers == 0 {
		t.halt()
	}
}

// stop makes everybody who follows look again.
func (t *tail) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.halt()
}

// halt ends the fetching. t.mu is held.
func (t *tail) halt() {
	if !t.active {
		return
	}
	t.active, t.records, t.bytes = false, nil, 0
	t.tails.client.RemoveConsumePartitions(map[string][]int32{t.name.topic: {t.name.n}})
	t.tell()
}

// truncated says that the partition ends earlier than was known.
func (t *tail) truncated(end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.halt()
	t.next = end
}

// arrived takes in what was fetched.
func (t *tail) arrived(records []*kgo.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active {
		return
	}
	i := sort.Search(len(records), func(i int) bool { return records[i].Offset >= t.next })
	t.add(records[i:])
}

// appended takes in what this process has just stored, if it is what follows: it need not be fetched then.
func (t *tail) appended(r *kgo.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active && r.Offset == t.next {
		t.add([]*kgo.Record{r})
	}
}

// add appends records and drops the oldest. t.mu is held.
func (t *tail) add(records []*kgo.Record) {
	if len(records) == 0 {
		return
	}
	t.next = records[len(records)-1].Offset + 1
	for _, r := range t.decode(records) {
		t.records = append(t.records, r)
		t.bytes += len(r.Event.DataEncoded)
	}
	if len(t.records) > 2*tailRecords || t.bytes > 2*tailBytes {
		t.trim()
	}
	t.tell()
}

// trim drops the oldest. It is done now and then, as it copies the rest: followers may still read what they were given.
func (t *tail) trim() {
	drop := 0
	for drop < len(t.records)-1 && (len(t.records)-drop > tailRecords || t.bytes > tailBytes) {
		t.bytes -= len(t.records[drop].Event.DataEncoded)
		drop++
	}
	t.records = append([]log.Record(nil), t.records[drop:]...)
	t.first = offsetOf(t.records[0].Position)
}

// tell wakes who waits.
func (t *tail) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

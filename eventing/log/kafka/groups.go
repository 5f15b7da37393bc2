package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// groups commit where readers are to consumer groups, for people and tools to see.
type groups struct {
	log *Log

	mu sync.Mutex
	// names are the groups of readers.
	names map[model.ReaderID]string
	// moved are offsets to commit, by group.
	moved map[string]*kadm.Offsets
	// failing are the groups whose last commit failed: it is said once.
	failing map[string]bool
}

func newGroups(l *Log) *groups {
	return &groups{log: l, names: map[model.ReaderID]string{}, moved: map[string]*kadm.Offsets{}, failing: map[string]bool{}}
}

// Group names the consumer group that shows where a reader, or the readers of its partitions, are. A reader that is kept before it has one is
// shown from its next Keep on.
func (l *Log) Group(reader model.ReaderID, group string) {
	l.groups.mu.Lock()
	defer l.groups.mu.Unlock()
	l.groups.names[reader] = group
}

// Committed is where a consumer group is in a partition: the position it would read next; zero if it has committed none. A reader without a
// state goes on from there that takes over from another program.
func (l *Log) Committed(ctx context.Context, id model.StreamID, group string) (log.Position, error) {
	p, err := l.one(id)
	if err != nil {
		return 0, err
	}
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	offsets, err := cluster.Coordinated(ctx, func() (kadm.OffsetResponses, error) { return l.admin.FetchOffsets(ctx, group) })
	if errors.Is(err, kerr.GroupIDNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("offsets of consumer group %s: %w", group, l.explain(err))
	}
	offset, has := offsets.Lookup(p.stream.topic, p.n)
	if !has || offset.At < 0 {
		return 0, nil
	}
	return positionOf(offset.At), nil
}

// name is a reader's group; "" if it has none. g.mu is held.
func (g *groups) name(reader model.ReaderID) string {
	if name, has := g.names[reader]; has {
		return name
	}
	base, _ := partition.Of(reader)
	return g.names[base]
}

// read says up to where a reader has read a partition, and returns the group that shows it; "" if none does.
func (g *groups) read(reader model.ReaderID, p *part, read log.Position) (name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name = g.name(reader)
	if name == "" {
		return ""
	}
	if g.moved[name] == nil {
		g.moved[name] = &kadm.Offsets{}
	}
	// What was read last is an offset and one: the one that is read next.
	g.moved[name].AddOffset(p.stream.topic, p.n, int64(read), -1)
	return name
}

// run commits until the log is closed, and a last time then.
func (g *groups) run() {
	ticker := time.NewTicker(g.log.options.CommitEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.commit(g.log.ctx)
		case <-g.log.ctx.Done():
			if g.log.Taken() == nil {
				g.commit(context.Background())
			}
			return
		}
	}
}

func (g *groups) commit(ctx context.Context) {
	g.mu.Lock()
	moved := g.moved
	g.moved = map[string]*kadm.Offsets{}
	g.mu.Unlock()
	for name, offsets := range moved {
		bounded, cancel := g.log.bounded(ctx)
		err := g.log.admin.CommitAllOffsets(bounded, name, *offsets)
		cancel()
		g.committed(name, offsets, err)
	}
}

// committed keeps what could not be committed for the next time.
func (g *groups) committed(name string, offsets *kadm.Offsets, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		delete(g.failing, name)
		return
	}
	g.log.options.Metrics.commits.Inc()
	if !g.failing[name] {
		g.failing[name] = true
		g.log.options.Logger.Warn("positions are not shown in the consumer group, tried again", "group", name, "error", err)
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return
	}
	newer := g.moved[name]
	if newer == nil {
		newer = &kadm.Offsets{}
		g.moved[name] = newer
	}
	for topic, partitions := range *offsets {
		for n, offset := range partitions {
			if _, has := newer.Lookup(topic, n); !has {
				newer.AddOffset(topic, n, offset.At, offset.LeaderEpoch)
			}
		}
	}
}

// forget drops a reader's group with its last partition. That it is not dropped is no harm.
func (g *groups) forget(ctx context.Context, reader readerName, topic string) {
	g.mu.Lock()
	name := g.name(reader.reader)
	if name == "" {
		g.mu.Unlock()
		return
	}
	_, n := partition.Of(reader.stream)
	if offsets := g.moved[name]; offsets != nil {
		delete((*offsets)[topic], n)
	}
	base, _ := partition.Of(reader.reader)
	g.mu.Unlock()
	for _, other := range g.log.states.all() {
		if of, _ := partition.Of(other.reader); of == base && other != reader {
			return
		}
	}
	g.mu.Lock()
	delete(g.names, base)
	delete(g.names, reader.reader)
	// One that was made anew under the same name is shown by the same group.
	shared := slices.Contains(slices.Collect(maps.Values(g.names)), name)
	if !shared {
		delete(g.moved, name)
	}
	g.mu.Unlock()
	if shared {
		return
	}
	ctx, cancel := g.log.bounded(ctx)
	defer cancel()
	responses, err := g.log.admin.DeleteGroups(ctx, name)
	if err == nil {
		err = responses.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		g.log.options.Logger.Warn("consumer group not deleted", "group", name, "error", err)
	}
}

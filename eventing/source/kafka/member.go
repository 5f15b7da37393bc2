package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// commitEvery is how often offsets are committed.
const commitEvery = time.Second

// member is one consumer of a source's group.
type member struct {
	group  *group
	client *kgo.Client

	mu    sync.Mutex
	lanes map[partition]*lane
}

type partition struct {
	topic string
	n     int32
}

// join makes a member, which Kafka gives partitions in time.
func (g *group) join(ctx context.Context) (*member, error) {
	m := &member{group: g, lanes: map[partition]*lane{}}
	options, err := g.job.Cluster.Options("ebb-kafka-source")
	if err != nil {
		return nil, err
	}
	m.client, err = kgo.NewClient(append(options,
		kgo.ConsumerGroup(g.job.Group), kgo.ConsumeTopics(g.job.Topics...), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second), kgo.FetchMaxPartitionBytes(1<<20),
		// What has no offset committed by now has joined the topic later.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Who takes over after a crash waits for as long.
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(3*time.Second),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(commitEvery), kgo.AutoCommitCallback(g.committed),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.lost),
	)...)
	if err != nil {
		return nil, fmt.Errorf("a consumer of group %s: %w", g.job.Group, err)
	}
	g.work.Go(func() { m.run(ctx) })
	return m, nil
}

// run delivers until the context ends, then commits and leaves.
func (m *member) run(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := m.client.PollFetches(ctx)
		if fetches.IsClientClosed() {
			break
		}
		fetches.EachError(func(topic string, n int32, err error) {
			if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
				m.group.trouble(err)
				m.group.log.Warn("topic cannot be read, tried again", "kafkasource", m.group.job.ID, "topic", topic, "partition", n, "error", err)
			}
		})
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				m.group.trouble(nil)
				m.lane(ctx, partition{p.Topic, p.Partition}).add(p.Records, p.HighWatermark)
			}
		})
		m.client.AllowRebalance()
	}
	m.endAll(nil)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitEvery*5)
	defer cancel()
	if err := m.client.CommitMarkedOffsets(bounded); err != nil && !errors.Is(err, kerr.UnknownMemberID) {
		m.group.log.Warn("offsets not committed at the end", "kafkasource", m.group.job.ID, "error", err)
	}
	m.client.CloseAllowingRebalance()
}

// lane is that of a partition; the first record of it begins one.
func (m *member) lane(ctx context.Context, at partition) *lane {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lanes[at]; l != nil {
		return l
	}
	tp := map[string][]int32{at.topic: {at.n}}
	l := newLane(ctx, m.group.job.atOnce(), m.group.deliver, func(r *kgo.Record) { m.client.MarkCommitRecords(r) }, func(pause bool) {
		if pause {
			m.client.PauseFetchPartitions(tp)
		} else {
			m.client.ResumeFetchPartitions(tp)
		}
	})
	m.lanes[at] = l
	return l
}

// lag is how many records there are in the member's partitions that nobody has begun with, and how many are delivered at once.
func (m *member) lag() (waiting, atOnce int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.lanes {
		waiting += l.lag()
	}
	return waiting, len(m.lanes) * m.group.job.atOnce()
}

// revoked gives partitions back: what is being delivered is broken off, what was is committed.
func (m *member) revoked(ctx context.Context, client *kgo.Client, gone map[string][]int32) {
	m.endAll(gone)
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		m.group.log.Warn("offsets not committed as partitions go", "kafkasource", m.group.job.ID, "error", err)
	}
}

// lost is revoked without a chance to commit.
func (m *member) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) { m.endAll(gone) }

// endAll ends the lanes of partitions, or all for nil.
func (m *member) endAll(gone map[string][]int32) {
	m.mu.Lock()
	var ending []*lane
	take := func(at partition) {
		if l := m.lanes[at]; l != nil {
			ending = append(ending, l)
			delete(m.lanes, at)
		}
	}
	if gone == nil {
		for at := range m.lanes {
			take(at)
		}
	}
	for topic, partitions := range gone {
		for _, n := range partitions {
			take(partition{topic, n})
		}
	}
	m.mu.Unlock()
	var ended sync.WaitGroup
	for _, l := range ending {
		ended.Go(l.stop)
	}
	ended.Wait()
	// One that comes back is fetched again.
	m.client.ResumeFetchPartitions(gone)
}

package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/model"
)

// Job is what one source is to do.
type Job struct {
	// ID names the source.
	ID      string
	Cluster cluster.Cluster
	Group   string
	Topics  []string
	// Consumers is how many members the group has of us; with none it is paused.
	Consumers int
	// Earliest begins a new group with what is kept, otherwise with what is to come.
	Earliest bool
	// Ordered delivers a partition's events one after the other.
	Ordered   bool
	Converter Converter
	Sink      model.Destination
	Delivery  model.Delivery
	// As is who sends.
	As model.Account
}

// atOnce is how many of a partition's events are delivered at once.
func (j Job) atOnce() int {
	if j.Ordered {
		return 1
	}
	return unorderedAtOnce
}

// group is a source at work.
type group struct {
	job      Job
	delivery *delivery
	log      *slog.Logger
	cancel   context.CancelFunc
	work     sync.WaitGroup
	members  []*member

	mu  sync.Mutex
	err error
}

// start commits where the group begins, if it is new, and has the members join.
func start(ctx context.Context, job Job, d *delivery, log *slog.Logger) (*group, error) {
	partitions, err := prepare(ctx, job)
	if err != nil {
		return nil, err
	}
	g := &group{job: job, delivery: d, log: log}
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.cancel = cancel
	// More members than partitions would have nothing to do.
	for range min(job.Consumers, partitions) {
		m, err := g.join(working)
		if err != nil {
			g.stop()
			return nil, err
		}
		g.members = append(g.members, m)
	}
	return g, nil
}

// stop leaves the group, and returns when everything delivered is committed.
func (g *group) stop() {
	g.cancel()
	g.work.Wait()
}

// backlog is what of the topics waits for the sink.
func (g *group) backlog() model.Backlog {
	b := model.Backlog{URL: g.job.Sink.URL}
	for _, m := range g.members {
		waiting, atOnce := m.lag()
		b.Waiting += waiting
		b.AtOnce += atOnce
	}
	return b
}

// deliver carries one record to the sink.
func (g *group) deliver(ctx context.Context, r *kgo.Record) error {
	return g.delivery.deliver(ctx, g.job.Converter.Event(r))
}

// trouble remembers the last thing that went wrong while reading; nil that it goes well again.
func (g *group) trouble(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		err = cluster.Explain(g.job.Cluster, err)
	}
	g.err = err
}

// Err is why nothing is read; nil if all is well.
func (g *group) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *group) committed(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
	if err == nil && response != nil {
		for _, t := range response.Topics {
			for _, p := range t.Partitions {
				err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		g.log.Warn("offsets not committed, tried again", "kafkasource", g.job.ID, "group", g.job.Group, "error", err)
	}
}

// prepare sees that the topics are there, and commits where the group begins in what it has never read. It returns how many partitions there are.
func prepare(ctx context.Context, job Job) (int, error) {
	client, err := job.Cluster.Connect(ctx, "ebb-kafka-source")
	if err != nil {
		return 0, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	var begin kadm.ListedOffsets
	if job.Earliest {
		begin, err = admin.ListStartOffsets(ctx, job.Topics...)
	} else {
		begin, err = admin.ListEndOffsets(ctx, job.Topics...)
	}
	if err == nil {
		err = begin.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return 0, fmt.Errorf("a topic of %v does not exist on Kafka at %s; make it, or correct spec.topics", job.Topics, job.Cluster)
	}
	if err != nil {
		return 0, cluster.Explain(job.Cluster, err)
	}
	partitions := 0
	begin.Each(func(kadm.ListedOffset) { partitions++ })
	have, err := cluster.Coordinated(ctx, func() (kadm.OffsetResponses, error) { return admin.FetchOffsets(ctx, job.Group) })
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return 0, fmt.Errorf("offsets of consumer group %s: %w", job.Group, cluster.Explain(job.Cluster, err))
	}
	missing := kadm.Offsets{}
	begin.Each(func(o kadm.ListedOffset) {
		if at, has := have.Lookup(o.Topic, o.Partition); !has || at.At < 0 {
			missing.AddOffset(o.Topic, o.Partition, o.Offset, o.LeaderEpoch)
		}
	})
	if len(missing) == 0 {
		return partitions, nil
	}
	err = admin.CommitAllOffsets(ctx, job.Group, missing)
	// Where others are members already, they have begun.
	if err != nil && !errors.Is(err, kerr.UnknownMemberID) && !errors.Is(err, kerr.RebalanceInProgress) {
		return 0, fmt.Errorf("commit where consumer group %s begins: %w", job.Group, cluster.Explain(job.Cluster, err))
	}
	return partitions, nil
}

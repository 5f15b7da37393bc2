package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/test/bench/load"
)

// DrainCommand is the hidden subcommand under which the program that imports this package serves ServeDrain.
const DrainCommand = "drain"

// Drain says what is read from a Kafka that runs and posted to a subscriber.
type Drain struct {
	// Server is one of Kafka's; Group reads Topic, which has Records, from its beginning.
	Server  string `json:"server"`
	Topic   string `json:"topic"`
	Group   string `json:"group"`
	Records int    `json:"records"`
	// Address is dialled, host:port; Host is the subscriber's.
	Address string `json:"address"`
	Host    string `json:"host"`
	// AtOnce is how many of one partition's are on their way; with one, they go in order.
	AtOnce int `json:"atOnce"`
}

// Drained is what became of it.
type Drained struct {
	// Posted were taken by the subscriber, Refused were not, the first of them for the reason FirstError.
	Posted     int64  `json:"posted"`
	Refused    int64  `json:"refused"`
	FirstError string `json:"firstError,omitempty"`
}

// ServeDrain is the process of its own: a Drain in, a Drained out, both JSON.
func ServeDrain(ctx context.Context, in io.Reader, out io.Writer) error {
	return load.Answer(ctx, in, out, Consume)
}

// Process drains in a process of its own.
func (d Drain) Process(ctx context.Context) (Drained, error) {
	var result Drained
	err := load.Apart(ctx, DrainCommand, d, &result)
	return result, err
}

// Consume is a member of the group until as many records as there are were posted and committed: what anybody would write who wants to be rid of a
// backlog, with nothing done for records that are refused.
func Consume(ctx context.Context, d Drain) (Drained, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(d.Server), kgo.ConsumerGroup(d.Group), kgo.ConsumeTopics(d.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitMarks(),
	)
	if err != nil {
		return Drained{}, err
	}
	defer client.Close()
	p := &poster{Drain: d, client: client, done: cancel, http: &http.Transport{MaxIdleConnsPerHost: 4096, DisableCompression: true}}
	defer p.http.CloseIdleConnections()
	lanes := map[int32]chan *kgo.Record{}
	var workers sync.WaitGroup
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil && ctx.Err() == nil {
			return Drained{}, fmt.Errorf("read topic %s: %w", d.Topic, err)
		}
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			lane := lanes[f.Partition]
			if lane == nil {
				// There is room for all: no partition waits for another.
				lane = make(chan *kgo.Record, d.Records)
				lanes[f.Partition] = lane
				for range d.AtOnce {
					workers.Go(func() { p.work(lane) })
				}
			}
			for _, r := range f.Records {
				lane <- r
			}
		})
	}
	for _, lane := range lanes {
		close(lane)
	}
	workers.Wait()
	err = client.CommitMarkedOffsets(context.WithoutCancel(ctx))
	out := Drained{Posted: p.posted.Load(), Refused: p.refused.Load()}
	if first := p.first.Load(); first != nil {
		out.FirstError = *first
	}
	if err == nil && out.Posted+out.Refused < int64(d.Records) {
		err = fmt.Errorf("%d of %d records were posted: %w", out.Posted, d.Records, context.Cause(ctx))
	}
	return out, err
}

// poster posts records.
type poster struct {
	Drain
	client *kgo.Client
	http   *http.Transport
	// done is called when all are posted.
	done            context.CancelFunc
	posted, refused atomic.Int64
	first           atomic.Pointer[string]
}

func (p *poster) work(lane <-chan *kgo.Record) {
	for r := range lane {
		if err := p.post(r); err != nil {
			text := err.Error()
			p.first.CompareAndSwap(nil, &text)
			p.refused.Add(1)
		} else {
			p.posted.Add(1)
		}
		p.client.MarkCommitRecords(r)
		if p.posted.Load()+p.refused.Load() >= int64(p.Records) {
			p.done()
		}
	}
}

// postTimeout is beyond any cold start.
const postTimeout = time.Minute

// post sends a record as an event in binary mode.
func (p *poster) post(r *kgo.Record) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), postTimeout, errors.New("no answer in time"))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.Address+"/", bytes.NewReader(r.Value))
	if err != nil {
		return err
	}
	request.Host = p.Host
	request.Header = http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Type": {"dev.knative.kafka.event"}, "Ce-Source": {"/bench"},
		"Ce-Id": {strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10)},
	}
	answer, err := p.http.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the subscriber answered %s", answer.Status)
	}
	return nil
}

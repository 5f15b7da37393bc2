package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/fakekafka"
	broker "ebb.dev/ebb/test/kafka"
)

// sink takes events as it is told to.
type sink struct {
	mu sync.Mutex
	// answer says which status the n-th attempt at an event gets, counted from 1; nil takes everything.
	answer func(url, data string, attempt int) int
	tried  map[string]int
	// taken is what each URL took, in order.
	taken map[string][]string
	dead  map[string]string
}

func (s *sink) Send(_ context.Context, r send.Request) send.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := string(r.Event.Data())
	s.tried[r.To.URL+data]++
	status := 200
	if s.answer != nil {
		status = s.answer(r.To.URL, data, s.tried[r.To.URL+data])
	}
	if status < 300 {
		s.taken[r.To.URL] = append(s.taken[r.To.URL], data)
		if code, has := r.Event.Extensions()["knativeerrorcode"]; has {
			s.dead[data] = fmt.Sprint(code)
		}
	}
	return send.Answer{Status: status, Text: "said so"}
}

func (s *sink) got(url string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken[url])
}

// room is a Kafka with a topic, a sink and a runner.
type room struct {
	*testing.T
	*sink
	*Runner
	cluster cluster.Cluster
	client  *kgo.Client
	admin   *kadm.Client
}

func arrange(t *testing.T, c cluster.Cluster, partitions int32) *room {
	t.Helper()
	client, err := c.Connect(t.Context(), "test", kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r := &room{T: t, cluster: c, client: client, admin: kadm.NewClient(client), sink: &sink{tried: map[string]int{}, taken: map[string][]string{}, dead: map[string]string{}}}
	if _, err := r.admin.CreateTopic(t.Context(), partitions, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	r.restart()
	t.Cleanup(func() { r.Runner.Close() })
	return r
}

func (r *room) restart() {
	if r.Runner != nil {
		r.Runner.Close()
	}
	r.Runner = NewRunner(r.sink, NewMetrics(nil), slog.New(slog.DiscardHandler))
}

// imitation lets the consumers of a group that are gone be noticed soon.
func imitation(t *testing.T) cluster.Cluster {
	return fakekafka.At(t, kfake.GroupMinSessionTimeout(time.Second))
}

func (r *room) write(partition int32, values ...string) {
	r.Helper()
	for _, v := range values {
		if err := r.client.ProduceSync(r.Context(), &kgo.Record{Topic: "orders", Partition: partition, Value: []byte(v)}).FirstErr(); err != nil {
			r.Fatal(err)
		}
	}
}

func (r *room) job() Job {
	return Job{
		ID: "shop/orders", Cluster: r.cluster, Group: "group", Topics: []string{"orders"}, Consumers: 1, Earliest: true, Ordered: true, Converter: converter,
		Sink: model.Destination{URL: "http://sink"}, Delivery: model.Delivery{Retry: 3, Backoff: model.Linear, Delay: time.Millisecond},
	}
}

func (r *room) set(job Job) State {
	r.Helper()
	s, err := r.Set(r.Context(), job)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

func (r *room) eventually(what string, holds func() bool) {
	r.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			r.Fatalf("not so in time: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *room) lag() int64 {
	lags, err := r.admin.Lag(r.Context(), "group")
	if err != nil {
		r.Fatal(err)
	}
	return lags["group"].Lag.Total()
}

func numbers(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%04d", prefix, i)
	}
	return out
}

// TestRecordsReachTheSinkInOrderOnceEach reads what is there and what comes, goes on where it was after a restart, and shows in the group that
// it is through.
func TestRecordsReachTheSinkInOrderOnceEach(t *testing.T) {
	for name, c := range map[string]func(*testing.T) cluster.Cluster{
		"imitation": imitation,
		"Apache Kafka": func(t *testing.T) cluster.Cluster {
			return cluster.Cluster{Servers: []string{broker.Start(t, broker.Options{}).Address}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := arrange(t, c(t), 2)
			r.write(0, numbers("a", 30)...)
			if s := r.set(r.job()); s.Consumers != 1 {
				t.Errorf("%+v", s)
			}
			r.write(1, numbers("b", 30)...)
			r.eventually("60 events", func() bool { return len(r.got("http://sink")) >= 60 })
			r.restart()
			if lag := r.lag(); lag != 0 {
				t.Errorf("%d events are delivered and not committed", lag)
			}
			r.write(0, numbers("c", 10)...)
			r.set(r.job())
			r.eventually("70 events", func() bool { return len(r.got("http://sink")) >= 70 })
			var a, b []string
			for _, v := range r.got("http://sink") {
				if strings.HasPrefix(v, "b") {
					b = append(b, v)
				} else {
					a = append(a, v)
				}
			}
			if !slices.Equal(a, append(numbers("a", 30), numbers("c", 10)...)) || !slices.Equal(b, numbers("b", 30)) {
				t.Errorf("%v and %v", a, b)
			}
		})
	}
}

func TestANewGroupMissesNothingFromWhenItsSourceWasMade(t *testing.T) {
	r := arrange(t, imitation(t), 1)
	r.write(0, "before")
	job := r.job()
	job.Earliest = false
	job.Consumers = 0
	// It is paused before it has read anything.
	if s := r.set(job); s.Consumers != 0 {
		t.Errorf("%+v", s)
	}
	r.write(0, "while it is paused")
	job.Consumers = 1
	r.set(job)
	r.eventually("an event", func() bool { return len(r.got("http://sink")) > 0 })
	if got := r.got("http://sink"); !slices.Equal(got, []string{"while it is paused"}) {
		t.Error(got)
	}
}

func TestWhatTheSinkRefusesGoesToTheDeadLetterSink(t *testing.T) {
	r := arrange(t, imitation(t), 1)
	r.answer = func(url, data string, attempt int) int {
		switch {
		case url != "http://sink":
			return 202
		case data == "refused":
			return 400
		case data == "failing", data == "shaky" && attempt < 3:
			return 503
		}
		return 202
	}
	job := r.job()
	job.Delivery.DeadLetter.URL = "http://graves"
	r.set(job)
	r.write(0, "shaky", "refused", "failing", "good")
	r.eventually("the last one", func() bool { return len(r.got("http://sink")) == 2 })
	if got := r.got("http://sink"); !slices.Equal(got, []string{"shaky", "good"}) {
		t.Error(got)
	}
	if got := r.got("http://graves"); !slices.Equal(got, []string{"refused", "failing"}) || r.dead["refused"] != "400" || r.dead["failing"] != "503" {
		t.Errorf("%v, %v", got, r.dead)
	}
	if r.tried["http://sinkrefused"] != 1 || r.tried["http://sinkfailing"] != 4 {
		t.Error(r.tried)
	}
}

func TestWhatIsNotDeliveredIsNotCommitted(t *testing.T) {
	r := arrange(t, imitation(t), 1)
	held := true
	r.answer = func(_, data string, _ int) int {
		if held && data == "b" {
			return 503
		}
		return 200
	}
	job := r.job()
	job.Ordered = false
	job.Delivery.Retry, job.Delivery.Delay = 1000, time.Second
	r.set(job)
	r.write(0, "a", "b", "c")
	r.eventually("all but one", func() bool { return len(r.got("http://sink")) == 2 })
	r.restart()
	if lag := r.lag(); lag != 2 {
		t.Errorf("a lag of %d", lag)
	}
	r.sink.mu.Lock()
	held = false
	r.sink.mu.Unlock()
	r.set(job)
	r.eventually("the one that was held", func() bool { return slices.Contains(r.got("http://sink"), "b") })
}

func TestPartitionsMoveBetweenMembersWithoutLoss(t *testing.T) {
	r := arrange(t, imitation(t), 4)
	job := r.job()
	r.set(job)
	for p := range int32(4) {
		r.write(p, numbers(fmt.Sprint(p, "-"), 20)...)
	}
	// Another member of the same group comes, and goes again.
	other := NewRunner(r.sink, NewMetrics(nil), slog.New(slog.DiscardHandler))
	if _, err := other.Set(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	for p := range int32(4) {
		r.write(p, numbers(fmt.Sprint(p, "+"), 20)...)
	}
	other.Close()
	for p := range int32(4) {
		r.write(p, numbers(fmt.Sprint(p, "."), 20)...)
	}
	r.eventually("all of them", func() bool {
		got := r.got("http://sink")
		slices.Sort(got)
		return len(slices.Compact(got)) == 240
	})
	job.Consumers = 3
	if s := r.set(job); s.Consumers != 3 {
		t.Errorf("%+v", s)
	}
	r.write(2, "last")
	r.eventually("the last", func() bool { return slices.Contains(r.got("http://sink"), "last") })
}

func TestABacklogIsHeldInKafkaNotInMemory(t *testing.T) {
	r := arrange(t, imitation(t), 1)
	release := make(chan struct{})
	r.answer = func(_, _ string, _ int) int { <-release; return 200 }
	job := r.job()
	r.write(0, numbers("", 4*queueMost)...)
	r.set(job)
	close(release)
	r.eventually("all", func() bool { return len(r.got("http://sink")) == 4*queueMost })
	if !slices.IsSorted(r.got("http://sink")) {
		t.Error("out of order")
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	r := arrange(t, imitation(t), 1)
	job := r.job()
	job.Topics = []string{"orders", "nothing"}
	if _, err := r.Set(t.Context(), job); err == nil || !strings.Contains(err.Error(), "nothing") || !strings.Contains(err.Error(), "spec.topics") {
		t.Error(err)
	}
	job = r.job()
	job.Cluster.Servers = []string{"127.0.0.1:1"}
	if _, err := r.Set(t.Context(), job); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Error(err)
	}
}

// Records that wait in Kafka count as well as those in memory.
func TestTheLagOfASourceIsItsBacklog(t *testing.T) {
	r := arrange(t, imitation(t), 2)
	gate := make(chan struct{})
	letGo := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(letGo)
	r.answer = func(string, string, int) int { r.sink.mu.Unlock(); <-gate; r.sink.mu.Lock(); return 200 }
	r.write(0, numbers("a", 700)...)
	r.write(1, numbers("b", 300)...)
	r.set(r.job())
	want := model.Backlog{URL: "http://sink", Waiting: 998, AtOnce: 2}
	var got []model.Backlog
	r.eventually("one of each partition is delivered, the others wait", func() bool {
		got = r.Backlogs()
		return len(got) == 1 && got[0] == want
	})
	letGo()
	r.eventually("all are delivered", func() bool { return len(r.got("http://sink")) == 1000 && len(r.Backlogs()) == 0 })
}

package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/fakekafka"
	broker "ebb.dev/ebb/test/kafka"
)

// TestNothingConfirmedIsLostWhenKafkaIsKilled kills Kafka under load, twice: what was confirmed is read, in order and without a gap for those who
// follow, and what was not is refused as unavailable.
func TestNothingConfirmedIsLostWhenKafkaIsKilled(t *testing.T) {
	k := broker.Start(t, broker.Options{})
	l := open(t, Options{Cluster: cluster.Cluster{Servers: []string{k.Address}}, Timeout: 5 * time.Second})
	ensure(t, l, topic.Topic{Name: "orders", Partitions: 1})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()

	var mu sync.Mutex
	seen, last := map[string]int{}, log.Position(0)
	var followers, writers sync.WaitGroup
	followers.Go(func() {
		for ctx.Err() == nil {
			from := last + 1
			_ = l.Follow(ctx, orders, from, func(r log.Record) error {
				mu.Lock()
				defer mu.Unlock()
				if r.Position <= last {
					t.Errorf("position %d after %d", r.Position, last)
				}
				last = r.Position
				seen[r.Event.ID()]++
				return nil
			})
		}
	})
	confirmed := map[string]bool{}
	end := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				id := fmt.Sprint(w, "-", i)
				_, err := l.Append(t.Context(), orders, logtest.Event("s", id, 200))
				mu.Lock()
				if err == nil {
					confirmed[id] = true
				} else if !errors.Is(err, log.ErrUnavailable) {
					t.Errorf("while Kafka is down: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(confirmed)
	}
	for range 2 {
		before := count()
		eventually(t, "events are confirmed", func() bool { return count() > before+200 })
		k.Kill()
		killed := time.Now()
		if err := k.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		back, before := time.Now(), count()
		eventually(t, "events are confirmed again", func() bool { return count() > before })
		t.Logf("Kafka was away for %v, the first event was confirmed %v later", back.Sub(killed), time.Since(back))
	}
	close(end)
	writers.Wait()
	eventually(t, "everything confirmed is followed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for id := range confirmed {
			if seen[id] == 0 {
				return false
			}
		}
		return true
	})
	stop()
	followers.Wait()
	for id, n := range seen {
		if n > 1 {
			t.Errorf("event %s is stored %d times", id, n)
		}
	}
	t.Logf("%d events confirmed over two kills, %d followed", len(confirmed), len(seen))
}

// TestKafkaThatIsAwayIsSaidToBe stops Kafka: everything answers in time, and goes on when it is back.
func TestKafkaThatIsAwayIsSaidToBe(t *testing.T) {
	k := broker.Start(t, broker.Options{})
	l := open(t, Options{Cluster: cluster.Cluster{Servers: []string{k.Address}}, Timeout: time.Second})
	ensure(t, l, topic.Topic{Name: "orders", Partitions: 1})
	if err := k.Stop(); err != nil {
		t.Fatal(err)
	}
	_, appended := l.Append(t.Context(), orders, logtest.Event("s", "1", 10))
	_, _, bounds := l.Bounds(t.Context(), orders)
	for what, err := range map[string]error{
		"Append": appended, "Bounds": bounds, "Keep": l.Keep(t.Context(), orders, "r", 0, nil),
		"Follow": l.Follow(t.Context(), orders, 0, func(log.Record) error { return nil }),
		"Ensure": l.EnsureTopic(t.Context(), model.Stream{ID: orders}, topic.Topic{Name: "orders"}),
	} {
		if !errors.Is(err, log.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := k.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on", func() bool {
		_, err := l.Append(t.Context(), orders, logtest.Event("s", "2", 10))
		return err == nil
	})
}

func authenticate(t *testing.T, k *broker.Broker) {
	known := k.Credentials
	sasl := func(protocol, mechanism, password string) cluster.Auth {
		return cluster.Auth{Protocol: protocol, CA: known.CA, Mechanism: mechanism, User: known.User, Password: password}
	}
	for name, c := range map[string]struct {
		at     string
		auth   cluster.Auth
		reason string
	}{
		"SASL_PLAINTEXT PLAIN":       {k.SASLPlain, sasl(cluster.SASLPlaintext, cluster.Plain, known.Password), ""},
		"SASL_SSL PLAIN":             {k.SASL, sasl(cluster.SASLSSL, cluster.Plain, known.Password), ""},
		"SASL_SSL SCRAM-SHA-256":     {k.SASL, sasl(cluster.SASLSSL, cluster.ScramSHA256, known.Password), ""},
		"SASL_SSL SCRAM-SHA-512":     {k.SASL, sasl(cluster.SASLSSL, cluster.ScramSHA512, known.Password), ""},
		"SSL":                        {k.TLS, cluster.Auth{Protocol: cluster.SSL, CA: known.CA, Cert: known.Cert, Key: known.Key}, ""},
		"a wrong password":           {k.SASL, sasl(cluster.SASLSSL, cluster.ScramSHA512, "guessed"), "NotAuthenticated"},
		"a wrong password by PLAIN":  {k.SASLPlain, sasl(cluster.SASLPlaintext, cluster.Plain, "guessed"), "NotAuthenticated"},
		"no certificate":             {k.TLS, cluster.Auth{Protocol: cluster.SSL, CA: known.CA}, "NotAuthenticated"},
		"an authority nobody knows":  {k.SASL, cluster.Auth{Protocol: cluster.SASLSSL, Mechanism: cluster.Plain, User: "a", Password: "b"}, "NotTrusted"},
		"plain text where TLS is":    {k.TLS, cluster.Auth{}, "NotReachable"},
		"TLS where plain text is":    {k.Address, cluster.Auth{Protocol: cluster.SSL, CA: known.CA}, "NotReachable"},
		"plain text where a user is": {k.SASLPlain, cluster.Auth{}, "NotReachable"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Open(t.Context(), Options{Cluster: cluster.Cluster{Servers: []string{c.at}, Auth: c.auth}, Name: unique(), Timeout: 3 * time.Second})
			if c.reason != "" {
				var why *cluster.Unreachable
				if !errors.As(err, &why) || why.Reason != c.reason {
					t.Fatalf("%v", err)
				}
				t.Log(err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ensure(t, l, topic.Topic{Name: unique(), Partitions: 1})
			positions, err := l.Append(t.Context(), orders, logtest.Event("s", name, 10))
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, l, orders, positions[0], 1); got[0].Event.ID() != name {
				t.Error(got)
			}
		})
	}
}

// TestATopicThatSomebodyTakesAwayIsMadeAgain deletes the topic behind the log's back.
func TestATopicThatSomebodyTakesAwayIsMadeAgain(t *testing.T) {
	c := fakekafka.At(t)
	l := open(t, Options{Cluster: c, Timeout: 2 * time.Second})
	ensure(t, l, topic.Topic{Name: "orders", Partitions: 1})
	if _, err := l.Append(t.Context(), orders, logtest.Event("s", "1", 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := kadm.NewClient(foreign(t, c)).DeleteTopics(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), orders, logtest.Event("s", "2", 10)); !errors.Is(err, log.ErrUnavailable) {
		t.Fatal(err)
	}
	ensure(t, l, topic.Topic{Name: "orders", Partitions: 1})
	eventually(t, "it takes events again", func() bool {
		_, err := l.Append(t.Context(), orders, logtest.Event("s", "3", 10))
		return err == nil
	})
	if got := read(t, l, orders, 0, 1); got[0].Event.ID() != "3" {
		t.Error(got[0].Event)
	}
}

// TestARemovalThatFailsIsTriedAgain has Kafka refuse to delete a topic, once.
func TestARemovalThatFailsIsTriedAgain(t *testing.T) {
	k, c := fakekafka.Start(t)
	l := open(t, Options{Cluster: c, Timeout: 2 * time.Second})
	ensure(t, l, topic.Topic{Name: "orders", Partitions: 1})
	k.ControlKey(int16(kmsg.DeleteTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		answer := r.ResponseKind().(*kmsg.DeleteTopicsResponse)
		refused := kmsg.NewDeleteTopicsResponseTopic()
		refused.Topic, refused.ErrorCode = kmsg.StringPtr("orders"), kerr.TopicAuthorizationFailed.Code
		answer.Topics = append(answer.Topics, refused)
		return answer, nil, true
	})
	if err := l.Remove(t.Context(), orders); !errors.Is(err, log.ErrUnavailable) {
		t.Fatal(err)
	}
	if err := l.Remove(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	if _, err := topic.Partitions(t.Context(), foreign(t, c), "orders"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Error("the topic is still there:", err)
	}
	if len(l.states.streams()) != 0 {
		t.Error(l.states.streams())
	}
}

// TestExternalTopicsAreLeftAsTheyAre neither makes nor deletes a topic that is somebody else's.
func TestExternalTopicsAreLeftAsTheyAre(t *testing.T) {
	c := fakekafka.At(t)
	l := open(t, Options{Cluster: c, Timeout: 2 * time.Second})
	theirs := topic.Topic{Name: "theirs", External: true}
	if err := l.EnsureTopic(t.Context(), model.Stream{ID: orders}, theirs); err == nil {
		t.Fatal("a topic that does not exist")
	}
	other := foreign(t, c)
	if _, err := kadm.NewClient(other).CreateTopic(t.Context(), 4, 1, nil, "theirs"); err != nil {
		t.Fatal(err)
	}
	if err := l.EnsureTopic(t.Context(), model.Stream{ID: orders}, theirs); err != nil {
		t.Fatal(err)
	}
	if partitions, err := l.Partitions(orders); err != nil || len(partitions) != 4 {
		t.Fatal(partitions, err)
	}
	if err := l.Remove(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	if err := other.ProduceSync(t.Context(), &kgo.Record{Topic: "theirs"}).FirstErr(); err != nil {
		t.Error(err)
	}
}

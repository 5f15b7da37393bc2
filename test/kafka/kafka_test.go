package kafka

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func client(t *testing.T, address string) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestWhatIsAckedOutlivesAKill(t *testing.T) {
	b := Start(t, Options{})
	c := client(t, b.Address)
	if _, err := kadm.NewClient(c).CreateTopic(t.Context(), 1, 1, nil, "letters"); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "letters", Value: []byte("hello")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	b.Kill()
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.AddConsumePartitions(map[string]map[int32]kgo.Offset{"letters": {0: kgo.NewOffset().AtStart()}})
	fetches := c.PollFetches(t.Context())
	if records := fetches.Records(); len(records) != 1 || string(records[0].Value) != "hello" {
		t.Fatalf("%v, %v", records, fetches.Err())
	}
}

func TestWrongJarsAreRefused(t *testing.T) {
	dir := t.TempDir()
	name := strings.Fields(string(sums))[1]
	if err := os.WriteFile(filepath.Join(dir, name), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := verify(dir); err == nil || !strings.Contains(err.Error(), name) {
		t.Fatalf("a jar with other bytes: %v", err)
	}
}

package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ebb.dev/ebb/test/bench/load"
)

// JetStreamCommand is the hidden subcommand under which the program that imports this package serves ServeJetStream.
const JetStreamCommand = "jetstream"

// JetStream says what is published to an embedded JetStream.
type JetStream struct {
	// Dir is the folder of the store, on the disk that is compared; it is removed.
	Dir string `json:"dir"`
	// Relaxed syncs once a second; otherwise each message is synced before it is acknowledged.
	Relaxed bool `json:"relaxed"`
	// Clients publish at the same time, each the next message of Bytes when it has the acknowledgement of the one before.
	Clients int `json:"clients"`
	Bytes   int `json:"bytes"`
	// Warmup is not counted, Duration is.
	Warmup   time.Duration `json:"warmup"`
	Duration time.Duration `json:"duration"`
}

// ServeJetStream is the process of its own: a JetStream in, a load.Result out, both JSON.
func ServeJetStream(ctx context.Context, in io.Reader, out io.Writer) error {
	return load.Answer(ctx, in, out, Publish)
}

// Process publishes in a process of its own.
func (j JetStream) Process(ctx context.Context) (load.Result, error) {
	var result load.Result
	err := load.Apart(ctx, JetStreamCommand, j, &result)
	return result, err
}

// startTimeout bounds the start of the server.
const startTimeout = 10 * time.Second

// Publish starts a server in this process and publishes to it, by connections without a network.
func Publish(ctx context.Context, j JetStream) (result load.Result, err error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "bench", DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: j.Dir,
		SyncAlways: !j.Relaxed, SyncInterval: time.Second, DisableJetStreamBanner: true, NoSystemAccount: true,
	})
	if err != nil {
		return result, fmt.Errorf("embedded JetStream: %w", err)
	}
	s.Start()
	defer func() {
		s.Shutdown()
		s.WaitForShutdown()
		err = errors.Join(err, os.RemoveAll(j.Dir))
	}()
	if !s.ReadyForConnections(startTimeout) || !s.JetStreamEnabled() {
		return result, fmt.Errorf("embedded JetStream in %s does not start", j.Dir)
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return result, fmt.Errorf("connect to the embedded JetStream: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return result, err
	}
	config := jetstream.StreamConfig{Name: subject, Subjects: []string{subject}, Storage: jetstream.FileStorage, MaxBytes: -1}
	if _, err := js.CreateStream(ctx, config); err != nil {
		return result, fmt.Errorf("make a stream: %w", err)
	}
	data := bytes.Repeat([]byte("x"), j.Bytes)
	return saturate(ctx, j.Clients, j.Warmup, j.Duration, func() error {
		_, err := js.Publish(ctx, subject, data)
		return err
	}), ctx.Err()
}

const subject = "raw"

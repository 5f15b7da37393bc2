package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/test/freeport"
)

// Options say what a broker is like. The zero value listens in plain text, without authentication.
type Options struct {
	// Secure adds listeners with TLS and SASL; see Broker.TLS and Broker.SASL.
	Secure bool
	// Config is added to server.properties.
	Config map[string]string
}

// Broker is one Kafka.
type Broker struct {
	// Address is where it listens in plain text, HOST:PORT.
	Address string
	// TLS is where it wants a certificate of the client, SASL where it wants a user over TLS, SASLPlain the same without; only with
	// Options.Secure.
	TLS, SASL, SASLPlain string
	// Credentials are for TLS and SASL; only with Options.Secure.
	Credentials *Credentials

	jars, dir, config string
	process           *process
}

// startWithin bounds a start: 3 s on an idle machine.
const startWithin = 2 * time.Minute

// Start runs a broker until the test ends, or skips the test where Kafka cannot be had.
func Start(t testing.TB, o Options) *Broker {
	t.Helper()
	if testing.Short() {
		t.Skip("a real Apache Kafka takes seconds and half a gigabyte: not with -short")
	}
	jars, err := Fetch(t.Context())
	if missing := (*Missing)(nil); errors.As(err, &missing) {
		t.Skip(missing.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(t.Context(), jars, t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Errorf("stop Kafka: %v", err)
		}
		if t.Failed() {
			t.Logf("Kafka said:\n%s", b.Log())
		}
	})
	return b
}

// New formats a folder and runs a broker in it, with the jars of Fetch. The caller stops it.
func New(ctx context.Context, jars, dir string, o Options) (*Broker, error) {
	b := &Broker{jars: jars, dir: dir, config: filepath.Join(dir, "server.properties")}
	properties, scram, err := b.properties(o)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.config, []byte(properties), 0o600); err != nil {
		return nil, fmt.Errorf("configure Kafka: %w", err)
	}
	arguments := append([]string{"kafka.tools.StorageTool", "format", "--cluster-id", clusterID, "--config", b.config}, scram...)
	out, err := b.java(ctx, arguments...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("format Kafka's storage in %s: %w: %s", dir, err, tail(out))
	}
	return b, b.Restart(ctx)
}

// Restart starts the broker again after Stop or Kill, on the same data and ports, and returns when it is ready.
func (b *Broker) Restart(ctx context.Context) error {
	if b.process != nil {
		return errors.New("kafka is running")
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	p, err := start(b.java(context.Background(), "kafka.Kafka", b.config), filepath.Join(b.dir, "log"))
	if err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	if err := p.ready(ctx); err != nil {
		p.kill()
		return fmt.Errorf("start Kafka: %w: %s", err, tail([]byte(b.Log())))
	}
	b.process = p
	return nil
}

// Stop ends the broker in an orderly way, and waits until it has ended. It does nothing if it does not run.
func (b *Broker) Stop() error {
	if b.process == nil {
		return nil
	}
	p := b.process
	b.process = nil
	return p.stop()
}

// Kill ends the broker at once, as a crash would. It does nothing if it does not run.
func (b *Broker) Kill() {
	if b.process == nil {
		return
	}
	b.process.kill()
	b.process = nil
}

// Log is what the broker has said since its last start.
func (b *Broker) Log() string {
	text, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	return string(text)
}

// clusterID is a constant: each broker is a cluster of its own, in a folder of its own.
const clusterID = "ZWJidGVzdGthZmthMDAwMA"

// properties are server.properties, and what the storage is formatted with besides.
func (b *Broker) properties(o Options) (text string, format []string, err error) {
	listeners := []string{"PLAINTEXT", "CONTROLLER"}
	if o.Secure {
		listeners = append(listeners, "TLS", "SASL", "SASLPLAIN")
	}
	ports, err := freeport.Find(len(listeners))
	if err != nil {
		return "", nil, err
	}
	at := map[string]string{}
	var all, advertised []string
	for i, name := range listeners {
		at[name] = freeport.Address(ports[i])
		all = append(all, name+"://"+at[name])
		if name != "CONTROLLER" {
			advertised = append(advertised, name+"://"+at[name])
		}
	}
	b.Address, b.TLS, b.SASL, b.SASLPlain = at["PLAINTEXT"], at["TLS"], at["SASL"], at["SASLPLAIN"]
	settings := map[string]string{
		"process.roles": "broker,controller", "node.id": "1", "controller.quorum.voters": "1@" + at["CONTROLLER"],
		"listeners": strings.Join(all, ","), "advertised.listeners": strings.Join(advertised, ","),
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SASL:SASL_SSL,SASLPLAIN:SASL_PLAINTEXT",
		"controller.listener.names":      "CONTROLLER", "inter.broker.listener.name": "PLAINTEXT",
		"log.dirs":                         filepath.Join(b.dir, "data"),
		"offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "1",
		"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1", "transaction.state.log.num.partitions": "1",
		"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
		"group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "false",
		// One that was killed is let back in soon.
		"broker.heartbeat.interval.ms": "500", "broker.session.timeout.ms": "3000",
		"num.network.threads": "2", "num.io.threads": "2", "log.cleaner.dedupe.buffer.size": "4194304",
	}
	if o.Secure {
		if b.Credentials, err = newCredentials(b.dir); err != nil {
			return "", nil, err
		}
		for key, value := range b.Credentials.settings() {
			settings[key] = value
		}
		format = b.Credentials.scram()
	}
	for key, value := range o.Config {
		settings[key] = value
	}
	var lines strings.Builder
	for key, value := range settings {
		fmt.Fprintf(&lines, "%s=%s\n", key, value)
	}
	return lines.String(), format, nil
}

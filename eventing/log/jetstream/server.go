package jetstream

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// payload is the largest message the embedded server takes, in bytes; it bounds one commit.
const payload = 8 << 20

// startTimeout bounds how long the embedded server may take to read its store.
const startTimeout = 2 * time.Minute

// embedded is a NATS server inside this process. It listens nowhere.
type embedded struct {
	server *server.Server
	lock   *os.File
}

func startEmbedded(o Options) (*embedded, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the event log: %w", err)
	}
	lock, err := lockFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	options := &server.Options{
		ServerName: o.Name, DontListen: true, NoSigs: true, NoLog: true, MaxPayload: payload,
		JetStream: true, StoreDir: o.Dir, SyncAlways: !o.Relaxed, SyncInterval: o.SyncInterval,
		DisableJetStreamBanner: true, NoSystemAccount: true,
	}
	s, err := server.NewServer(options)
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("embedded JetStream in %s: %w", o.Dir, err)
	}
	s.SetLoggerV2(serverLogger{o.Logger}, false, false, false)
	s.Start()
	e := &embedded{server: s, lock: lock}
	if !s.ReadyForConnections(startTimeout) || !s.JetStreamEnabled() {
		e.stop()
		return nil, fmt.Errorf("embedded JetStream in %s does not start; its log says why", o.Dir)
	}
	return e, nil
}

func (e *embedded) stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
	_ = e.lock.Close()
}

// lockFolder refuses a folder that another process has open: JetStream itself would let both write to it.
func lockFolder(dir string) (*os.File, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of the event log: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("event log %s: another process has it open; end that one, or name another folder", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

// connect opens one connection, to the embedded server if there is one.
func connect(o Options, e *embedded, name string) (*nats.Conn, error) {
	options := []nats.Option{nats.Name(name), nats.MaxReconnects(-1), nats.Timeout(o.Timeout)}
	if e != nil {
		// A write ends when the server, in this process, has read it. A limit would be a timer for each event.
		options = append(options, nats.InProcessServer(e.server), nats.FlusherTimeout(0))
	}
	c, err := nats.Connect(o.URL, append(options, o.Connect...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS %s: %w", o.URL, err)
	}
	return c, nil
}

// serverLogger passes on what the embedded server reports.
type serverLogger struct{ logger *slog.Logger }

func (l serverLogger) Noticef(format string, v ...any) {
	l.logger.Debug("nats server", "message", fmt.Sprintf(format, v...))
}

func (l serverLogger) Warnf(format string, v ...any) {
	l.logger.Warn("nats server", "message", fmt.Sprintf(format, v...))
}

func (l serverLogger) Fatalf(format string, v ...any) {
	l.logger.Error("nats server", "message", fmt.Sprintf(format, v...))
}

func (l serverLogger) Errorf(format string, v ...any) {
	l.logger.Error("nats server", "message", fmt.Sprintf(format, v...))
}

func (l serverLogger) Debugf(string, ...any) {}

func (l serverLogger) Tracef(string, ...any) {}

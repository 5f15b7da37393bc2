// Package runner keeps one Envoy running: it starts it, starts it again when it dies, and drains it before it stops.
//
// In: the binary, a bootstrap, where its admin socket will be. Out: a running Envoy until the context ends.
//
// Hard rule: a planned stop loses no request: listeners drain first (short), then the process goes. The Envoy dies with
// the process that runs it.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Config of an Envoy.
type Config struct {
	// Binary is the Envoy, Bootstrap the file it starts with.
	Binary, Bootstrap string
	// Node is its ID: "gateway/NAME/INSTANCE", "node/NAME/WORKER" or "sidecar/NAMESPACE/POD".
	Node string
	// AdminSocket is the admin page's unix socket, as the bootstrap says.
	AdminSocket string
	// Workers is its number of worker threads.
	Workers int
	// Env are NAME=VALUE additions.
	Env []string
	// Drain is how long a stop lets connections end by themselves.
	Drain time.Duration
	// Output takes what the Envoy logs.
	Output io.Writer
	Log    *slog.Logger
}

const (
	// firstDelay doubles up to lastDelay while an Envoy dies at once; one that ran for steady is forgiven.
	firstDelay = 50 * time.Millisecond
	lastDelay  = 5 * time.Second
	steady     = 10 * time.Second
)

// Run keeps the Envoy running until the context ends, then drains and stops it.
func Run(ctx context.Context, c Config) error {
	delay := firstDelay
	for {
		began := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > steady {
			delay = firstDelay
		}
		c.Log.Error("envoy ended and is started again", "after", time.Since(began), "in", delay, "error", err)
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		delay = min(2*delay, lastDelay)
	}
}

// once runs the Envoy until it dies or the context ends.
func (c Config) once(ctx context.Context) error {
	// A socket of an earlier run would keep the admin page from being served.
	if err := os.Remove(c.AdminSocket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clear %s: %w", c.AdminSocket, err)
	}
	command := exec.Command(c.Binary, "-c", c.Bootstrap, "--service-node", c.Node, "--concurrency", strconv.Itoa(c.Workers),
		"--disable-hot-restart", "--drain-time-s", strconv.Itoa(max(int(c.Drain.Seconds()), 1)), "--log-level", "warning")
	command.Env = append(os.Environ(), c.Env...)
	command.Stdout, command.Stderr = c.Output, c.Output
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	var ended error
	exited := make(chan struct{})
	go func() {
		// The death signal follows the thread that started the child: it has to stay.
		runtime.LockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			ended = command.Wait()
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", c.Binary, err)
	}
	select {
	case <-exited:
		return ended
	case <-ctx.Done():
	}
	c.drain(exited)
	_ = command.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		_ = command.Process.Kill()
		<-exited
	}
	return ended
}

// drain lets connections end: new ones are refused, those that are idle are closed, requests in flight are answered.
func (c Config) drain(exited <-chan struct{}) {
	if c.Drain <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Drain)
	defer cancel()
	admin := Admin(c.AdminSocket)
	if err := post(ctx, admin, "/drain_listeners?graceful&skip_exit"); err != nil {
		c.Log.Warn("envoy was not drained", "error", err)
		return
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if n, err := active(ctx, admin); err == nil && n == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		case <-exited:
			return
		}
	}
}

// Admin is a client of an admin socket; the host of its URLs means nothing.
func Admin(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
}

func post(ctx context.Context, admin *http.Client, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://envoy"+path, nil)
	if err != nil {
		return err
	}
	response, err := admin.Do(request)
	if err != nil {
		return fmt.Errorf("ask envoy's admin page: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("envoy's admin page says %s to %s", response.Status, path)
	}
	return nil
}

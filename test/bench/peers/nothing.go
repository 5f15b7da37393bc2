package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/test/bench/testbed"
)

// NothingCommand is the hidden subcommand under which the program that imports this package serves ServeNothing; its argument is the
// address to listen at.
const NothingCommand = "store-nothing"

// ServeNothing answers 202 to whatever it has read, with the server of the broker's ingress, until the context ends.
func ServeNothing(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New(NothingCommand + " takes one argument: the address to listen at")
	}
	return serve.ListenHTTP(ctx, args[0], http.HandlerFunc(storeNothing), serve.Options{PlainHTTP2: true})
}

func storeNothing(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// Nothing is a handler that stores nothing, running.
type Nothing struct {
	process *os.Process
	ended   chan struct{}
}

// StartNothing starts one in a process of its own and returns when it listens.
func StartNothing(ctx context.Context, address string) (*Nothing, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, NothingCommand, address)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", NothingCommand, err)
	}
	n := &Nothing{process: cmd.Process, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // it ends by a signal
		close(n.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = testbed.Until(ctx, "start "+NothingCommand, func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		n.Stop()
		return nil, err
	}
	return n, nil
}

// Stop ends it.
func (n *Nothing) Stop() {
	// Its end is awaited; that it cannot be asked to means that it came already.
	_ = n.process.Signal(syscall.SIGTERM)
	select {
	case <-n.ended:
	case <-time.After(startTimeout):
		_ = n.process.Kill()
		<-n.ended
	}
}

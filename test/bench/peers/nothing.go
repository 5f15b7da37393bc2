package peers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"

	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/test/bench/daemon"
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

// StartNothing starts a handler that stores nothing and returns when it listens.
func StartNothing(ctx context.Context, address string) (*daemon.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	run, err := daemon.Start(os.Stderr, self, NothingCommand, address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := testbed.Listens(ctx, "start "+NothingCommand, address); err != nil {
		run.Stop()
		return nil, err
	}
	return run, nil
}

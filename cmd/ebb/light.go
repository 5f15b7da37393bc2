package main

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"ebb.dev/ebb/cmd/ebb/agents"
)

// lightFlags are those of a node that runs pods as plain processes.
type lightFlags struct {
	enabled bool
}

func (l *lightFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&l.enabled, "light", false, "run pods as plain processes in this process's place of a kubelet")
}

func (l *lightFlags) run(agents.NodeOptions) func(context.Context, agents.Hooks) error {
	return func(context.Context, agents.Hooks) error { return errors.New("not wired yet") }
}

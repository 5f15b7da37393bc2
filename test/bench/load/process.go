package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// Command is the hidden subcommand under which the program that imports this package serves Serve.
const Command = "load"

// Serve is the process of its own: a Config in, a Result out, both JSON.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error { return Answer(ctx, in, out, Run) }

// Process runs a load in a process of its own.
func Process(ctx context.Context, c Config) (Result, error) {
	var result Result
	err := Apart(ctx, Command, c, &result)
	return result, err
}

// Answer is what a process of its own does: it reads what it is asked from in, as JSON, and writes what it finds to out.
func Answer[In, Out any](ctx context.Context, in io.Reader, out io.Writer, f func(context.Context, In) (Out, error)) error {
	var asked In
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return fmt.Errorf("read what is asked: %w", err)
	}
	found, err := f(ctx, asked)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(found)
}

// Apart has a process of its own, which is this program under one of its hidden subcommands, answer what is asked.
func Apart(ctx context.Context, command string, asked, found any) error {
	end, err := Begin(ctx, command, asked, found, nil)
	if err != nil {
		return err
	}
	return end()
}

// Begin is Apart for a process that goes on when it has answered: end closes its input, by which it knows that it is not needed any more, and
// waits for it.
func Begin(ctx context.Context, command string, asked, found any, attributes *syscall.SysProcAttr) (end func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, command)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attributes
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command, err)
	}
	end = func() error {
		in.Close()
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		return nil
	}
	if err = json.NewEncoder(in).Encode(asked); err == nil {
		err = json.NewDecoder(out).Decode(found)
	}
	if err == nil {
		return end, nil
	}
	// How it ended says more than that it did not answer.
	if ended := end(); ended != nil {
		err = ended
	}
	return nil, err
}

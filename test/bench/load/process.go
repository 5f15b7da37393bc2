package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, command)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", command, err)
	}
	sendErr := json.NewEncoder(in).Encode(asked)
	in.Close()
	readErr := json.NewDecoder(out).Decode(found)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if sendErr != nil {
		return sendErr
	}
	return readErr
}

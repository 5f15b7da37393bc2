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
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	var c Config
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return fmt.Errorf("load: read the configuration: %w", err)
	}
	result, err := Run(ctx, c)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// Process runs a load in a process of its own: this program again.
func Process(ctx context.Context, c Config) (Result, error) {
	self, err := os.Executable()
	if err != nil {
		return Result{}, err
	}
	cmd := exec.CommandContext(ctx, self, Command)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return Result{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, err
	}
	if err := cmd.Start(); err != nil {
		return Result{}, fmt.Errorf("start the load generator: %w", err)
	}
	var result Result
	sendErr := json.NewEncoder(in).Encode(c)
	in.Close()
	readErr := json.NewDecoder(out).Decode(&result)
	if err := cmd.Wait(); err != nil {
		return Result{}, fmt.Errorf("load generator: %w", err)
	}
	if sendErr != nil {
		return Result{}, sendErr
	}
	return result, readErr
}

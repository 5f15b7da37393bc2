// Command ebb-bench measures Ebb beside its peers and writes what it found: make bench.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"ebb.dev/ebb/test/bench/events"
	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/memory"
	"ebb.dev/ebb/test/bench/peers"
	"ebb.dev/ebb/test/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "ebb-bench:", err)
		os.Exit(1)
	}
}

// dispatch serves as one of the processes that a benchmark needs beside itself, or runs the benchmarks.
func dispatch(ctx context.Context) error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case load.Command:
			return load.Serve(ctx, os.Stdin, os.Stdout)
		case memory.AloneCommand:
			return memory.ServeAlone(ctx, os.Args[2:])
		case events.AloneCommand:
			return events.ServeAlone(ctx, os.Stdin, os.Stdout)
		case peers.JetStreamCommand:
			return peers.ServeJetStream(ctx, os.Stdin, os.Stdout)
		case peers.KafkaCommand:
			return peers.ServeKafka(ctx, os.Stdin, os.Stdout)
		case peers.DrainCommand:
			return peers.ServeDrain(ctx, os.Stdin, os.Stdout)
		case peers.NothingCommand:
			return peers.ServeNothing(ctx, os.Args[2:])
		}
	}
	o, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	if o.apart {
		return apart(ctx, o)
	}
	return run(ctx, o)
}

type options struct {
	out, bin, state, sources string
	only, nodes              []string
	port                     int
	quick, apart             bool
	log                      *slog.Logger
}

func parse(args []string) (options, error) {
	o := options{log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	var only, nodes string
	flags := flag.NewFlagSet("ebb-bench", flag.ContinueOnError)
	flags.StringVar(&o.out, "out", filepath.Join("docs", "bench"), "the folder for what is found")
	flags.StringVar(&o.bin, "bin", "bin", "the folder of ebb, envoy and the others")
	flags.StringVar(&o.state, "state", filepath.Join(os.TempDir(), "ebb-bench"), "state folders are made beside this name, and removed")
	flags.StringVar(&o.sources, "sources", filepath.Join("test", "bench"), "the folder with the source of the benchmarks' app")
	flags.StringVar(&only, "only", "", "sections to run, of: "+strings.Join(sectionNames(), ","))
	flags.StringVar(&nodes, "node", "kubelet,light,sidecar", "platforms to run on: kubelet and light have node proxies; sidecar is a kubelet with sidecars")
	flags.IntVar(&o.port, "http-port", 18090, "the port of the gateway under test; the next hundred are used too")
	flags.BoolVar(&o.quick, "quick", false, "few repetitions: to see that everything works")
	flags.BoolVar(&o.apart, "apart", false, "run in a network namespace of its own (as root): a platform that runs on this machine is not in the way")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.nodes = strings.Split(nodes, ",")
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(sectionNames(), name) {
			return o, fmt.Errorf("--only: there is no section %q; there are: %s", name, strings.Join(sectionNames(), ", "))
		}
	}
	for _, node := range o.nodes {
		if !slices.Contains(platforms, node) {
			return o, fmt.Errorf("--node: %q must be one of %s", node, strings.Join(platforms, ", "))
		}
	}
	var err error
	o.bin, err = filepath.Abs(o.bin)
	return o, err
}

// run measures platform by platform and writes the report even when something failed: then it says so.
func run(ctx context.Context, o options) error {
	r := report.Report{Machine: report.ThisMachine(ctx, o.bin), Quick: o.quick}
	var errs error
	for _, node := range o.nodes {
		sections, err := onPlatform(ctx, o, node)
		r.Sections = append(r.Sections, sections...)
		errs = errors.Join(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	slices.SortStableFunc(r.Sections, func(a, b report.Section) int { return rank(a.Name) - rank(b.Name) })
	if err := r.Write(o.out); err != nil {
		return errors.Join(errs, err)
	}
	o.log.Info("written", "folder", o.out)
	return errs
}

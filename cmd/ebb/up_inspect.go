package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"ebb.dev/ebb/deploy/local/platform"
	"ebb.dev/ebb/deploy/local/progress"
	"ebb.dev/ebb/deploy/local/state"
	"github.com/spf13/cobra"
)

func newDownCommand() *cobra.Command {
	var opts platform.DownOptions
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop what \"ebb up\" started; the state is kept",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			opts.Progress = progress.New(os.Stderr)
			return platform.Down(opts)
		},
	}
	stateFlag(cmd, &opts.State)
	cmd.Flags().BoolVar(&opts.Purge, "purge", false, "remove the state folder too: images, objects, certificates")
	return cmd
}

func newStatusCommand() *cobra.Command {
	var folder, output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show each component of the local platform: state, memory, uptime, address",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := platform.GetStatus(folder)
			if err != nil {
				return err
			}
			switch output {
			case "json":
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(s)
			case "":
				err = writeStatus(cmd.OutOrStdout(), s)
			default:
				return fmt.Errorf("-o %s: must be json", output)
			}
			if err == nil && s.State != "ready" {
				return errSilent
			}
			return err
		},
	}
	stateFlag(cmd, &folder)
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or a table")
	return cmd
}

// errSilent ends the command with code 1 and no further word: its output has said it.
var errSilent = errors.New("")

func writeStatus(w io.Writer, s platform.Status) error {
	fmt.Fprintf(w, "%s in %s", s.State, s.Folder)
	if s.Node != "" && s.State != "down" {
		fmt.Fprintf(w, ", node: %s", s.Node)
	}
	fmt.Fprintln(w)
	if s.State == "crashed" {
		fmt.Fprintln(w, "clean up with: ebb down, or go on with: ebb up")
	}
	if len(s.Components) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tSTATE\tPID\tRSS\tUPTIME\tRESTARTS\tADDRESS")
	var sum int64
	for _, c := range s.Components {
		sum += c.RSS
		uptime := time.Duration(c.Uptime * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(table, "%s\t%s\t%d\t%d MB\t%s\t%d\t%s\n", c.Name, c.State, c.PID, c.RSS>>20, uptime, c.Restarts, c.Address)
	}
	fmt.Fprintf(table, "\t\t\t%d MB\t\t\t\n", sum>>20)
	return table.Flush()
}

func newKubeconfigCommand() *cobra.Command {
	var folder string
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the local platform's kubeconfig",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := kubeconfigIn(folder)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return err
		},
	}
	stateFlag(cmd, &folder)
	return cmd
}

func kubeconfigIn(folder string) (string, error) {
	dir, err := state.Find(folder)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir.Kubeconfig()); err != nil {
		return "", fmt.Errorf("no platform has been started in %s; start one with: ebb up", dir.Root())
	}
	return dir.Kubeconfig(), nil
}

func newKubectlCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl [--state DIR] ARGS...",
		Short:              "Run kubectl against the local platform",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			folder, args, err := takeState(args)
			if err != nil {
				return err
			}
			path, err := kubeconfigIn(folder)
			if err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			program := filepath.Join(filepath.Dir(self), "ebb-kube")
			env := append(os.Environ(), "KUBECONFIG="+path)
			if err := syscall.Exec(program, append([]string{program, "kubectl"}, args...), env); err != nil {
				return fmt.Errorf("%s: %w; build it with: make bin/ebb-kube", program, err)
			}
			return nil
		},
	}
}

// takeState takes a leading --state out of kubectl's arguments, all others are kubectl's.
func takeState(args []string) (folder string, rest []string, err error) {
	holder := &cobra.Command{}
	stateFlag(holder, &folder)
	if len(args) == 0 {
		return folder, nil, nil
	}
	if value, ok := strings.CutPrefix(args[0], "--state="); ok {
		return value, args[1:], nil
	}
	if args[0] == "--state" {
		if len(args) < 2 {
			return "", nil, errors.New("--state needs a folder")
		}
		return args[1], args[2:], nil
	}
	return folder, args, nil
}

func newLogsCommand() *cobra.Command {
	var folder string
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use:   "logs [COMPONENT]",
		Short: "Show what the local platform's components wrote",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := state.Find(folder)
			if err != nil {
				return err
			}
			files, err := logFiles(dir, args)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return showLogs(ctx, cmd.OutOrStdout(), files, lines, follow)
		},
	}
	stateFlag(cmd, &folder)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written")
	cmd.Flags().IntVar(&lines, "tail", 50, "how many lines of the past, per component")
	return cmd
}

func logFiles(dir *state.Dir, names []string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(dir.Logs(), "*.log"))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no platform has been started in %s; start one with: ebb up", dir.Root())
	}
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, path := range all {
		name := strings.TrimSuffix(filepath.Base(path), ".log")
		if name == names[0] {
			return []string{path}, nil
		}
		known = append(known, name)
	}
	return nil, fmt.Errorf("no component %s; there are: %s", names[0], strings.Join(known, ", "))
}

// followPoll is the pause between two looks at a log's size.
const followPoll = 200 * time.Millisecond

// showLogs prints the last lines of each file, with the component's name if there are several, then goes on if asked to.
func showLogs(ctx context.Context, w io.Writer, files []string, lines int, follow bool) error {
	readers := make([]*logReader, len(files))
	for i, path := range files {
		prefix := ""
		if len(files) > 1 {
			prefix = strings.TrimSuffix(filepath.Base(path), ".log") + " | "
		}
		readers[i] = &logReader{path: path, prefix: prefix}
		if err := readers[i].print(w, lines); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, r := range readers {
			if err := r.print(w, -1); err != nil {
				return err
			}
		}
	}
}

// logReader remembers how much of a file was shown.
type logReader struct {
	path, prefix string
	offset       int64
}

// print shows whole lines beyond the offset: the last n of them, or all if n is negative. A file that shrank was emptied: it begins again.
func (r *logReader) print(w io.Writer, n int) error {
	f, err := os.Open(r.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < r.offset {
		r.offset = 0
	}
	if _, err := f.Seek(r.offset, io.SeekStart); err != nil {
		return err
	}
	var kept []string
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		r.offset += int64(len(line))
		kept = append(kept, line)
		if n >= 0 && len(kept) > n {
			kept = kept[1:]
		}
	}
	for _, line := range kept {
		if _, err := io.WriteString(w, r.prefix+line); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"ebb.dev/ebb/deploy/local/platform"
	"ebb.dev/ebb/deploy/local/progress"
	"ebb.dev/ebb/deploy/local/state"
	"ebb.dev/ebb/serving"
	"github.com/spf13/cobra"
)

// localComponents are Ebb's own processes of a local platform; the file that defines them sets it.
var localComponents func(e platform.Environment, c choices) []platform.Component

// choices are what a person may choose of Ebb's own processes.
type choices struct {
	// replicaProxy is where replicas' Envoys run unless something says otherwise.
	replicaProxy string
	// events is what a 202 to an event means: durableEvents or relaxedEvents.
	events string
}

// The values of --events.
const (
	durableEvents = "durable"
	relaxedEvents = "relaxed"
)

// stateFlag adds --state, whose default is in the user's home.
func stateFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "state", stateDefault(), "the state folder (or set EBB_STATE)")
}

// stateDefault is the state folder that EBB_STATE names, or the one in the user's home.
func stateDefault() string {
	if env := os.Getenv("EBB_STATE"); env != "" {
		return env
	}
	path, err := state.Default()
	if err != nil {
		return ".ebb"
	}
	return path
}

type upFlags struct {
	platform.Options
	choices
	detach bool
	// progressFD is the pipe to the `ebb up --detach` that started this supervisor.
	progressFD int
}

func newUpCommand() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start Kubernetes, a node, the control plane and a gateway on this machine",
		Long: `Start a whole platform on this machine and stay in the foreground until interrupted.

Everything is in one state folder; a second "ebb up" finds what the first one had. Only loopback and the pods' bridge are served, to holders of
certificates that "ebb up" made.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(f.checkReplicaProxy(), f.checkEvents()); err != nil {
				return err
			}
			if localComponents != nil {
				f.Components = func(e platform.Environment) []platform.Component { return localComponents(e, f.choices) }
			}
			switch {
			case f.progressFD > 0:
				return superviseDetached(cmd.Context(), f)
			case f.detach:
				return upDetached(f)
			}
			f.Progress = progress.New(os.Stderr)
			return upForeground(cmd.Context(), f)
		},
	}
	stateFlag(cmd, &f.State)
	flags := cmd.Flags()
	flags.BoolVar(&f.detach, "detach", false, "return when everything is ready, and leave it running")
	flags.IntVar(&f.HTTPPort, "http-port", 0, "the gateway's port on 127.0.0.1 (default 80 as root, else 8080)")
	flags.IntVar(&f.APIPort, "api-port", 0, "the API server's port on 127.0.0.1 (default 6443, or any if that is taken)")
	flags.StringVar(&f.Node, "node", platform.NodeAuto, "the kind of node: kubelet (as root), light (plain processes) or auto")
	flags.StringVar(&f.replicaProxy, "replica-proxy", string(serving.NodeProxy), "where replicas' Envoys run by default: node or sidecar (with a kubelet)")
	flags.StringVar(&f.events, "events", durableEvents,
		"what a broker's 202 means: durable (the event is on the disk) or relaxed (a crash of the machine loses up to the last second)")
	flags.StringVar(&f.Bin, "bin", "", "the folder of ebb-kube and containerd (default: that of this program)")
	flags.IntVar(&f.progressFD, "progress-fd", 0, "")
	flags.MarkHidden("progress-fd") //nolint:errcheck // the flag exists
	return cmd
}

// checkReplicaProxy refuses what cannot run: a sidecar is a container beside the app's.
func (f upFlags) checkReplicaProxy() error {
	switch serving.ReplicaProxy(f.replicaProxy) {
	case serving.NodeProxy:
		return nil
	case serving.SidecarProxy:
		if f.Node == platform.NodeLight || f.Node == platform.NodeAuto && os.Geteuid() != 0 {
			return errors.New("--replica-proxy=sidecar needs pods with containers: run as root with --node=kubelet")
		}
		return nil
	}
	return fmt.Errorf("--replica-proxy %q: must be node or sidecar", f.replicaProxy)
}

func (f upFlags) checkEvents() error {
	if f.events == durableEvents || f.events == relaxedEvents {
		return nil
	}
	return fmt.Errorf("--events %q: must be %s or %s", f.events, durableEvents, relaxedEvents)
}

// upForeground serves until a signal.
func upForeground(ctx context.Context, f upFlags) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	dir, err := state.Open(f.State)
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(dir.Log(state.Supervisor), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	// What is loud goes to the person as well; the rest is for the log.
	f.Log = slog.New(alsoWarn{slog.NewTextHandler(logFile, nil), slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})})
	return platform.Up(ctx, f.Options)
}

// superviseDetached is the background process of `ebb up --detach`.
func superviseDetached(ctx context.Context, f upFlags) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	pipe := os.NewFile(uintptr(f.progressFD), "progress")
	if pipe == nil {
		return fmt.Errorf("--progress-fd=%d is not open", f.progressFD)
	}
	syscall.CloseOnExec(f.progressFD)
	defer pipe.Close()
	f.Progress = closeWhenReady{progress.NewPipe(pipe), pipe}
	f.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	err := platform.Up(ctx, f.Options)
	if err != nil {
		progress.NewPipe(pipe).Event(progress.Event{Kind: progress.Failed, Step: "ebb up", Text: err.Error()})
	}
	return err
}

// closeWhenReady ends the pipe with the event that ends the wait at its other end.
type closeWhenReady struct {
	progress.Sink
	pipe io.Closer
}

func (c closeWhenReady) Event(e progress.Event) {
	c.Sink.Event(e)
	if e.Kind == progress.Ready {
		c.pipe.Close()
	}
}

// upDetached starts a supervisor in a session of its own and shows its progress until it is ready or has failed.
func upDetached(f upFlags) error {
	dir, err := state.Open(f.State)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(dir.Log(state.Supervisor), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	cmd := exec.Command(self, "up", "--state", dir.Root(), "--http-port", strconv.Itoa(f.HTTPPort), "--api-port", strconv.Itoa(f.APIPort),
		"--node", f.Node, "--replica-proxy", f.replicaProxy, "--events", f.events, "--bin", f.Bin, "--progress-fd", "3")
	// The advice that the supervisor gives is for whoever typed this command.
	cmd.Args[0] = os.Args[0]
	cmd.ExtraFiles = []*os.File{writer}
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		writer.Close()
		return fmt.Errorf("start the supervisor: %w", err)
	}
	writer.Close()
	show := &lastFailureLast{Sink: progress.New(os.Stderr)}
	ready, failure := progress.Replay(reader, show)
	if ready {
		return cmd.Process.Release()
	}
	waitErr := cmd.Wait()
	if failure == "" {
		failure = fmt.Sprintf("the supervisor ended: %v", waitErr)
	}
	return fmt.Errorf("%s\nlog: %s", failure, dir.Log(state.Supervisor))
}

// lastFailureLast keeps the failure of the whole from being shown as a step: the command's error shows it.
type lastFailureLast struct{ progress.Sink }

func (l *lastFailureLast) Event(e progress.Event) {
	if e.Kind == progress.Failed && e.Step == "ebb up" {
		return
	}
	l.Sink.Event(e)
}

// alsoWarn sends records to a file and warnings to a person too.
type alsoWarn struct{ file, person slog.Handler }

func (h alsoWarn) Enabled(ctx context.Context, l slog.Level) bool { return h.file.Enabled(ctx, l) }

func (h alsoWarn) Handle(ctx context.Context, r slog.Record) error {
	var shown error
	if h.person.Enabled(ctx, r.Level) {
		shown = h.person.Handle(ctx, r.Clone())
	}
	return errors.Join(h.file.Handle(ctx, r), shown)
}

func (h alsoWarn) WithAttrs(a []slog.Attr) slog.Handler {
	return alsoWarn{h.file.WithAttrs(a), h.person.WithAttrs(a)}
}

func (h alsoWarn) WithGroup(name string) slog.Handler {
	return alsoWarn{h.file.WithGroup(name), h.person.WithGroup(name)}
}

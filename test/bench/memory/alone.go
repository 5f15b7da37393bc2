package memory

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ebb.dev/ebb/deploy/local/platform"
	"ebb.dev/ebb/deploy/local/progress"
	"ebb.dev/ebb/test/bench/testbed"
)

// AloneCommand is the hidden subcommand under which the program that imports this package serves ServeAlone.
const AloneCommand = "kubernetes-alone"

// readyWord is what ServeAlone prints when its platform is up.
const readyWord = "ready"

// ServeAlone runs a platform without any process of Ebb's until the context ends.
func ServeAlone(ctx context.Context, args []string) error {
	o := platform.Options{Log: slog.New(slog.DiscardHandler), Progress: tellReady{}}
	flags := flag.NewFlagSet(AloneCommand, flag.ContinueOnError)
	flags.StringVar(&o.State, "state", "", "")
	flags.StringVar(&o.Bin, "bin", "", "")
	flags.StringVar(&o.Node, "node", "", "")
	flags.IntVar(&o.HTTPPort, "http-port", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return platform.Up(ctx, o)
}

type tellReady struct{}

// Event implements progress.Sink.
func (tellReady) Event(e progress.Event) {
	if e.Kind == progress.Ready {
		fmt.Println(readyWord)
	}
}

// aloneTimeout bounds the start and the end.
const aloneTimeout = 2 * time.Minute

// Alone measures the same Kubernetes without Ebb, in the state folder that the testbed gets afterwards: a machine runs one
// kubelet.
func Alone(ctx context.Context, bed testbed.Options, idle time.Duration) (parts []Part, err error) {
	if bed.Node != platform.NodeKubelet {
		return nil, errors.New("a light node is a process of Ebb's: there is no platform without it")
	}
	state := bed.State
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, AloneCommand, "--state", state, "--bin", bed.Bin, "--node", bed.Node, "--http-port", strconv.Itoa(bed.Port))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	ready := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		ready <- strings.TrimSpace(line) == readyWord
		ended <- cmd.Wait()
	}()
	defer func() {
		if e := cmd.Process.Signal(syscall.SIGTERM); e == nil || errors.Is(e, os.ErrProcessDone) {
			<-ended
		}
	}()
	timeout, cancel := context.WithTimeout(ctx, aloneTimeout)
	defer cancel()
	select {
	case ok := <-ready:
		if !ok {
			return nil, errors.New("Kubernetes alone did not get ready")
		}
	case <-timeout.Done():
		return nil, errors.New("Kubernetes alone did not get ready in time")
	}
	return Look(ctx, state, idle)
}

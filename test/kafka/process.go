package kafka

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// java is a command that runs a class of Kafka's, small and quick to start.
func (b *Broker) java(ctx context.Context, class ...string) *exec.Cmd {
	arguments := []string{
		"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		// It says when it is ready.
		"-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
		// What it unpacks goes with its folder: a broker that is killed clears nothing up.
		"-Djava.io.tmpdir=" + b.dir, "-XX:-UsePerfData",
		"-cp", filepath.Join(b.jars, "*"),
	}
	command := exec.CommandContext(ctx, "java", append(arguments, class...)...)
	command.Dir = b.dir
	return command
}

// readyLine is in what the broker says once it takes requests.
const readyLine = "Kafka Server started"

// process is a broker that runs.
type process struct {
	command *exec.Cmd
	// started is closed at readyLine, exited when the process has ended, with err set.
	started, exited chan struct{}
	err             error
}

// start runs a command whose output goes to a file.
func start(command *exec.Cmd, file string) (*process, error) {
	out, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	read, write := io.Pipe()
	command.Stdout, command.Stderr = write, write
	// It ends with the test, however that ends.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{command: command, started: make(chan struct{}), exited: make(chan struct{})}
	begun := make(chan error, 1)
	go func() {
		// The signal comes when this thread ends: it stays as long as the process does.
		runtime.LockOSThread()
		err := command.Start()
		begun <- err
		if err != nil {
			return
		}
		p.err = command.Wait()
		write.Close()
		close(p.exited)
	}()
	if err := <-begun; err != nil {
		out.Close()
		return nil, err
	}
	go func() {
		defer out.Close()
		ready := false
		lines := bufio.NewReader(read)
		for {
			line, err := lines.ReadString('\n')
			_, _ = out.WriteString(line)
			if !ready && strings.Contains(line, readyLine) {
				ready = true
				close(p.started)
			}
			if err != nil {
				return
			}
		}
	}()
	return p, nil
}

// ready waits until the broker takes requests.
func (p *process) ready(ctx context.Context) error {
	select {
	case <-p.started:
		return nil
	case <-p.exited:
		return fmt.Errorf("it ended: %v", p.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopWithin bounds an orderly end.
const stopWithin = 30 * time.Second

func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	select {
	case <-p.exited:
		return nil
	case <-late.C:
		p.kill()
		return fmt.Errorf("it did not end within %v of SIGTERM, and was killed", stopWithin)
	}
}

func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.exited
}

package process

import (
	"context"
	"os"
	"time"
)

// Spec is one child process.
type Spec struct {
	// Name is the component's: it names the record and the log.
	Name string
	// Path and Args are the command line, Path first and not in Args.
	Path string
	Args []string
	// Env are NAME=VALUE additions to the supervisor's environment.
	Env []string
	// Dir is the working directory; empty: the supervisor's.
	Dir string
	// Files become descriptors 3, 4, … of the child. They stay open here, for a restart.
	Files []*os.File
	// Address is what people find the component at.
	Address string
	// Ready returns nil when the component serves. It is called until it does, with pauses of ReadyPoll. Nil: ready when started.
	Ready func(ctx context.Context) error
	// ReadyTimeout ends the wait for Ready; 0 is a minute.
	ReadyTimeout time.Duration
	// StopTimeout is the time between TERM and KILL; 0 is five seconds.
	StopTimeout time.Duration
	// Before runs ahead of each start, the first and every restart.
	Before func(ctx context.Context) error
	// Outside is put into the record: see state.Record.
	Outside bool
	// Once marks a process that may end by itself with code 0: it is not started again then.
	Once bool
}

// ReadyPoll is the pause between two calls of Ready.
const ReadyPoll = 20 * time.Millisecond

const (
	defaultReadyTimeout = time.Minute
	defaultStopTimeout  = 5 * time.Second
	// firstDelay doubles with each crash up to lastDelay; a process that ran for steady is forgiven its crashes.
	// The first one is short: requests wait, and what has served for a while rarely ends twice.
	firstDelay = 50 * time.Millisecond
	lastDelay  = 30 * time.Second
	steady     = 5 * time.Second
	// keptLog is the size at which a log is set aside when its component starts; while it runs, at most.
	keptLog = 32 << 20
	// logCheck is the pause between two looks at the sizes of logs.
	logCheck = time.Minute
)

func (s *Spec) readyTimeout() time.Duration {
	if s.ReadyTimeout > 0 {
		return s.ReadyTimeout
	}
	return defaultReadyTimeout
}

func (s *Spec) stopTimeout() time.Duration {
	if s.StopTimeout > 0 {
		return s.StopTimeout
	}
	return defaultStopTimeout
}

// delay before restart number n (1 is the first).
func delay(n int) time.Duration {
	d := firstDelay
	for ; n > 1 && d < lastDelay; n-- {
		d *= 2
	}
	return min(d, lastDelay)
}

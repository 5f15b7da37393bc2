package process

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// spawner starts processes from one thread. The kernel sends a child its parent-death signal when the *thread* that started it ends, so
// that thread must live as long as this process.
type spawner struct {
	once     sync.Once
	requests chan request
}

type request struct {
	cmd    *exec.Cmd
	result chan error
}

func (s *spawner) start(cmd *exec.Cmd) error {
	s.once.Do(func() {
		s.requests = make(chan request)
		go s.serve()
	})
	r := request{cmd, make(chan error)}
	s.requests <- r
	return <-r.result
}

func (s *spawner) serve() {
	runtime.LockOSThread()
	for r := range s.requests {
		r.result <- r.cmd.Start()
	}
}

// theSpawner is one per process, as its thread is.
var theSpawner spawner

// Start starts cmd so that it dies when this process does, however that ends.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return theSpawner.start(cmd)
}

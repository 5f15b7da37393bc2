// Command ebb-pause is the first process of every pod: it holds the pod's namespaces open.
//
// In: nothing. Out: it ends on TERM or INT (as process 1 it must ask for them), and takes leave of orphans where containers share its
// process namespace.
package main

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	// It allocates next to nothing and lives as long as its pod: a collector would only add threads.
	debug.SetGCPercent(-1)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			var status syscall.WaitStatus
			if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

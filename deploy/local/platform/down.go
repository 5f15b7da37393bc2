package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ebb.dev/ebb/deploy/local/cgroup"
	"ebb.dev/ebb/deploy/local/cri"
	"ebb.dev/ebb/deploy/local/mount"
	"ebb.dev/ebb/deploy/local/network"
	"ebb.dev/ebb/deploy/local/progress"
	"ebb.dev/ebb/deploy/local/state"
)

const (
	// podGrace is between TERM and KILL for containers, podsTimeout for all of them with their sandboxes.
	podGrace    = 2 * time.Second
	podsTimeout = 15 * time.Second
	// supervisorGrace is how long `ebb down` waits for the supervisor to take everything down.
	supervisorGrace = 60 * time.Second
	// orphanGrace is how long a process that lost its supervisor has.
	orphanGrace = 5 * time.Second
)

// shutDown ends what this run started, in the reverse order, and undoes the rest.
func (p *platform) shutDown() error {
	return progress.Step(p.show, "down", "pods and processes to end", func() error {
		if p.super != nil {
			for i := len(p.started) - 1; i >= 0; i-- {
				p.super.Stop(p.started[i])
			}
			p.super.Stop("kubernetes")
			p.stopPods()
			p.super.StopAll()
		}
		return clean(p.dir)
	})
}

// stopPods lets containers end by themselves. What does not is killed by clean.
func (p *platform) stopPods() {
	if !p.settings.Kubelet {
		return
	}
	client, err := cri.Connect(p.cri.Socket())
	if err != nil {
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), podsTimeout)
	defer cancel()
	if client.Ready(ctx) != nil {
		return
	}
	if err := client.StopPods(ctx, podGrace); err != nil {
		p.log.Warn("some pods did not end by themselves", "error", err)
	}
}

// DownOptions are what a person may say.
type DownOptions struct {
	State string
	// Purge removes the state folder too.
	Purge    bool
	Progress progress.Sink
}

// Down takes the platform in the state folder down, whatever state it is in. Without one it does nothing.
func Down(opts DownOptions) error {
	show := opts.Progress
	if show == nil {
		show = progress.Discard{}
	}
	dir, err := state.Find(opts.State)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir.Root()); errors.Is(err, os.ErrNotExist) {
		show.Event(progress.Event{Kind: progress.Note, Text: "nothing is up in " + dir.Root()})
		return nil
	}
	if dir, err = state.Open(opts.State); err != nil {
		return err
	}
	if err := stopSupervisor(dir, show); err != nil {
		return err
	}
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	if leftovers(dir) {
		if err := progress.Step(show, "cleaned up", "what a killed run left", func() error { return clean(dir) }); err != nil {
			return err
		}
	}
	if !opts.Purge {
		return nil
	}
	return progress.Step(show, "state removed", dir.Root(), func() error {
		return errors.Join(os.RemoveAll(dir.Run()), os.RemoveAll(dir.Root()))
	})
}

// stopSupervisor asks a running `ebb up` to end, and makes it.
func stopSupervisor(dir *state.Dir, show progress.Sink) error {
	// The launcher, where there is one, passes the request on to the supervisor and ends after it.
	r, err := find(dir, state.Launcher)
	if err != nil || !r.Alive() {
		r, err = find(dir, state.Supervisor)
	}
	if err != nil || !r.Alive() {
		if !leftovers(dir) {
			show.Event(progress.Event{Kind: progress.Note, Text: "nothing is up in " + dir.Root()})
		}
		return nil
	}
	return progress.Step(show, "stopped", "pods and processes to end", func() error { return r.End(supervisorGrace) })
}

// leftovers reports whether a run did not undo everything.
func leftovers(dir *state.Dir) bool {
	records, err := dir.Records()
	if err != nil || len(records) > 0 {
		return true
	}
	return exists(dir.Path("network.json")) || exists(dir.Run("k")) || exists(dir.Path("machine.json"))
}

// clean undoes everything a run may have made, in an order that each step leaves nothing for a later one to trip over: processes, then
// what they held (mounts), then what they ran in (network, cgroups), then the volatile files. It may be called at any time.
func clean(dir *state.Dir) error {
	var errs []error
	records, err := dir.Records()
	errs = append(errs, err)
	for i := len(records) - 1; i >= 0; i-- {
		r := records[i]
		// What runs outside the namespaces of this supervisor is stopped by the one around it.
		if r.PID == os.Getpid() || (r.Outside && isInner()) {
			continue
		}
		errs = append(errs, r.End(orphanGrace))
	}
	h, err := cgroup.Detect()
	errs = append(errs, err)
	tree := cgroup.NewTree(h, "ebb-"+dir.ID())
	if _, err := tree.Kill(); err != nil {
		errs = append(errs, err)
	}
	for _, folder := range []string{dir.Root(), dir.Run()} {
		_, err := mount.UnmountBelow(folder)
		errs = append(errs, err)
	}
	errs = append(errs, network.Down(network.NewLedger(dir.Path("network.json"))), tree.Remove())
	errs = append(errs, removeOutside(dir), clearRun(dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// clearRun empties the folder of sockets and records.
func clearRun(dir *state.Dir) error {
	entries, err := os.ReadDir(dir.Run())
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if isInner() && outsideFile(e.Name()) {
			continue
		}
		if e.Name() != "processes" {
			errs = append(errs, os.RemoveAll(filepath.Join(dir.Run(), e.Name())))
		}
	}
	records, err := dir.Records()
	errs = append(errs, err)
	for _, r := range records {
		if !r.Outside || !isInner() {
			errs = append(errs, dir.Forget(r.Name))
		}
	}
	return errors.Join(errs...)
}

// outsideFile reports whether a file of the run folder belongs to the process around an unprivileged supervisor.
func outsideFile(name string) bool { return name == "egress.sock" || name == "edge-admin.sock" }

func find(dir *state.Dir, name string) (*state.Record, error) {
	records, err := dir.Records()
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if r.Name == name {
			return &r, nil
		}
	}
	return nil, fmt.Errorf("no %s runs in %s", name, dir.Root())
}

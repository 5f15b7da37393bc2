package events

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"ebb.dev/ebb/deploy/local/platform"
	"ebb.dev/ebb/test/bench/daemon"
	"ebb.dev/ebb/test/bench/peers"
	"ebb.dev/ebb/test/bench/processes"
	"ebb.dev/ebb/test/bench/testbed"
)

// prepare makes what is warm: the handler that stores nothing, a service that is up, Brokers and their Triggers. The caller stops the handler.
func (r *run) prepare(ctx context.Context) (*daemon.Process, error) {
	port, err := r.bed.NodePort()
	if err != nil {
		return nil, err
	}
	handler, err := peers.StartNothing(ctx, net.JoinHostPort(r.bed.NodeAddress, strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	if r.nothing, err = r.bed.Expose(ctx, "nothing", port); err != nil {
		return handler, err
	}
	if err := r.bed.Create(ctx, testbed.Service{Name: subscriber, Annotations: map[string]string{
		"autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/max-scale": "1",
	}}); err != nil {
		return handler, err
	}
	brokers := []string{acceptBroker}
	for _, n := range triggerCounts {
		brokers = append(brokers, deliveryBroker(n))
	}
	if err := r.bed.CreateBrokers(ctx, brokers...); err != nil {
		return handler, err
	}
	for _, n := range triggerCounts {
		if err := r.triggers(ctx, deliveryBroker(n), n); err != nil {
			return handler, err
		}
	}
	return handler, nil
}

// triggers gives a Broker its Triggers, of which one matches, and notes what the many cost.
func (r *run) triggers(ctx context.Context, broker string, n int) error {
	before, err := r.brokerMemory(ctx)
	if err != nil {
		return err
	}
	var triggers []testbed.Trigger
	for i := range n {
		t := testbed.Trigger{Name: fmt.Sprintf("%s-%d", broker, i), Broker: broker, Type: fmt.Sprintf("other-%d", i), Service: subscriber}
		if i == n/2 {
			t.Type = matching
		}
		triggers = append(triggers, t)
	}
	began := time.Now()
	if err := r.bed.CreateTriggers(ctx, triggers...); err != nil {
		return err
	}
	r.Log.Info("Triggers are ready", "triggers", n, "took", time.Since(began).Round(time.Millisecond))
	if n < slices.Max(triggerCounts) {
		return nil
	}
	after, err := r.brokerMemory(ctx)
	r.Process = float64(after-before) / float64(n)
	return err
}

// memorySettle is between the last thing asked of the broker and a look at its memory.
const memorySettle = 3 * time.Second

// brokerMemory is the proportional set size of the broker's process, in bytes.
func (r *run) brokerMemory(ctx context.Context) (int64, error) {
	if err := testbed.Pause(ctx, memorySettle); err != nil {
		return 0, err
	}
	pid, err := r.brokerPID()
	if err != nil {
		return 0, err
	}
	memory, err := processes.MemoryOf(pid)
	return memory.PSS, err
}

func (r *run) brokerPID() (int, error) { return brokerPID(r.bed) }

func brokerPID(bed *testbed.Bed) (int, error) {
	components, err := bed.Components()
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(components, func(c platform.ComponentStatus) bool { return c.Name == "broker" })
	if i < 0 {
		return 0, errors.New("this platform has no event broker: pods have no network of their own; run as root")
	}
	return components[i].PID, nil
}

// brokerFlag is the value of a flag that the broker's process was started with.
func brokerFlag(bed *testbed.Bed, name string) (string, error) {
	pid, err := brokerPID(bed)
	if err != nil {
		return "", err
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "", err
	}
	args := strings.Split(string(line), "\x00")
	i := slices.Index(args, name)
	if i < 0 || i+1 >= len(args) {
		return "", fmt.Errorf("the event broker was started without %s", name)
	}
	return args[i+1], nil
}

const (
	// calmLook is how long the platform is looked at, calmShare how much of a core it may use in that time to be calm.
	calmLook  = time.Second
	calmShare = 0.15
	// calmTimeout bounds the wait: a platform that is never calm is measured all the same, and that is told.
	calmTimeout = time.Minute
)

// calm returns when the platform does nothing of its own any more: after a start it looks at everything there is.
func (r *run) calm(ctx context.Context) error {
	for began := time.Now(); ; {
		before, err := r.platformCPU()
		if err != nil {
			return err
		}
		if err := testbed.Pause(ctx, calmLook); err != nil {
			return err
		}
		after, err := r.platformCPU()
		if err != nil {
			return err
		}
		switch share := (after - before).Seconds() / calmLook.Seconds(); {
		case share < calmShare:
			r.Log.Info("platform is calm", "after", time.Since(began).Round(time.Millisecond))
			return nil
		case time.Since(began) > calmTimeout:
			r.Log.Warn("platform is not calm; it is measured so", "cores", share)
			return nil
		}
	}
}

// platformCPU is the processor time that the platform's components have used, their Envoys aside.
func (r *run) platformCPU() (sum time.Duration, err error) {
	components, err := r.bed.Components()
	if err != nil {
		return 0, err
	}
	for _, c := range components {
		cpu, err := processes.CPU(c.PID)
		if err != nil {
			return 0, err
		}
		sum += cpu
	}
	return sum, nil
}

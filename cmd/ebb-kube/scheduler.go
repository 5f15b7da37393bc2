package main

import (
	"context"
	"fmt"

	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// runScheduler binds pods until ctx ends.
func runScheduler(ctx context.Context, cfg *Scheduler) error {
	opts := options.NewOptions()
	err := parseFlags(*opts.Flags, []string{
		"--kubeconfig=" + cfg.Kubeconfig,
		"--authentication-kubeconfig=" + cfg.Kubeconfig,
		"--authorization-kubeconfig=" + cfg.Kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
		"--kube-api-qps=2000",
		"--kube-api-burst=4000",
	})
	if err != nil {
		return err
	}
	// Setup and Run, not the command: the command takes the process's signals.
	complete, scheduler, err := app.Setup(ctx, opts)
	if err != nil {
		return fmt.Errorf("options: %w", err)
	}
	return app.Run(ctx, complete, scheduler)
}

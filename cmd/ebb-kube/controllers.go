package main

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
)

// controllers are those that a cluster of one machine needs; the others would only cost memory.
var controllers = []string{
	"clusterrole-aggregation-controller",
	"cronjob-controller",
	"daemonset-controller",
	"deployment-controller",
	"disruption-controller",
	"endpoints-controller",
	"endpointslice-controller",
	"garbage-collector-controller",
	"horizontal-pod-autoscaler-controller",
	"job-controller",
	"namespace-controller",
	"pod-garbage-collector-controller",
	"replicaset-controller",
	"resourcequota-controller",
	"root-ca-certificate-publisher-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"statefulset-controller",
	"ttl-after-finished-controller",
}

// runControllerManager runs the controllers until ctx ends.
func runControllerManager(ctx context.Context, cfg *ControllerManager) error {
	opts, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	known, off, aliases := app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases()
	if err := parseFlags(opts.Flags(known, off, aliases), controllerManagerFlags(cfg)); err != nil {
		return err
	}
	config, err := opts.Config(ctx, known, off, aliases)
	if err != nil {
		return fmt.Errorf("options: %w", err)
	}
	return app.Run(ctx, config.Complete())
}

func controllerManagerFlags(cfg *ControllerManager) []string {
	return []string{
		"--kubeconfig=" + cfg.Kubeconfig,
		"--authentication-kubeconfig=" + cfg.Kubeconfig,
		"--authorization-kubeconfig=" + cfg.Kubeconfig,
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
		"--use-service-account-credentials=true",
		"--root-ca-file=" + cfg.RootCAFile,
		"--service-account-private-key-file=" + cfg.ServiceAccountKeyFile,
		"--controllers=" + strings.Join(controllers, ","),
		// A burst of replicas must not wait for a client's rate limit: the server is in this process.
		"--kube-api-qps=2000",
		"--kube-api-burst=4000",
		"--concurrent-deployment-syncs=10",
		"--concurrent-replicaset-syncs=10",
		"--concurrent-endpoint-syncs=10",
		"--concurrent-service-endpoint-syncs=10",
		// Nobody waits for Endpoints, which slices have replaced: a burst of replicas is one write of them, not one for each.
		"--endpoint-updates-batch-period=1s",
		"--concurrent-namespace-syncs=10",
		"--concurrent-gc-syncs=10",
	}
}

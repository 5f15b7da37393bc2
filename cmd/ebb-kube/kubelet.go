package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
)

// runKubelet is the node until ctx ends.
func runKubelet(ctx context.Context, cfg *Kubelet) error {
	// Not a setting of the kubelet's but a variable: the links for log collectors belong into our folder, not into /var/log.
	kubelet.ContainerLogsDir = cfg.ContainerLogsDir
	server, err := kubeletServer(cfg)
	if err != nil {
		return err
	}
	deps, err := app.UnsecuredDependencies(ctx, server, utilfeature.DefaultFeatureGate)
	if err != nil {
		return fmt.Errorf("dependencies: %w", err)
	}
	deps.Options = append(deps.Options, func(k *kubelet.Kubelet) {
		if err := useEagerVolumes(k); err != nil {
			klog.ErrorS(err, "Pods with volumes start later")
		}
		if err := useOrderlyStarts(k); err != nil {
			klog.ErrorS(err, "Pods that come together start all at once")
		}
	})
	return app.Run(ctx, server, deps, utilfeature.DefaultFeatureGate)
}

func kubeletServer(cfg *Kubelet) (*options.KubeletServer, error) {
	conf, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, fmt.Errorf("defaults: %w", err)
	}
	setAccess(conf, cfg)
	setNode(conf, cfg)
	setSpeed(conf)

	flags := options.NewKubeletFlags()
	flags.KubeConfig = cfg.Kubeconfig
	flags.RootDirectory = cfg.RootDir
	flags.CertDirectory = cfg.RootDir + "/pki"
	flags.HostnameOverride = cfg.NodeName
	flags.NodeIP = cfg.NodeIP
	flags.NodeLabels = cfg.Labels
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *conf}, nil
}

// setAccess: the kubelet answers on the node's own address, to holders of our certificates that RBAC allows.
func setAccess(conf *kubeletconfig.KubeletConfiguration, cfg *Kubelet) {
	conf.Address = cfg.NodeIP
	conf.ReadOnlyPort = 0
	conf.HealthzPort = 0
	conf.TLSCertFile = cfg.CertFile
	conf.TLSPrivateKeyFile = cfg.KeyFile
	conf.Authentication.Anonymous.Enabled = false
	conf.Authentication.Webhook.Enabled = true
	conf.Authentication.X509.ClientCAFile = cfg.ClientCAFile
	conf.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	conf.EnableSystemLogHandler = false
	conf.EnableProfilingHandler = false
	conf.EnableDebugFlagsHandler = false
}

// setNode: the machine belongs to its user, pods are guests. Nothing is evicted, reserved or enforced outside the pods' own cgroup.
func setNode(conf *kubeletconfig.KubeletConfiguration, cfg *Kubelet) {
	conf.ContainerRuntimeEndpoint = "unix://" + cfg.RuntimeSocket
	conf.ImageServiceEndpoint = conf.ContainerRuntimeEndpoint
	conf.PodLogsDir = cfg.PodLogsDir
	conf.VolumePluginDir = cfg.RootDir + "/volume-plugins"
	conf.CgroupDriver = "cgroupfs"
	conf.CgroupRoot = cfg.CgroupRoot
	conf.CgroupsPerQOS = true
	conf.EnforceNodeAllocatable = nil
	conf.FailCgroupV1 = false
	conf.FailSwapOn = false
	conf.OOMScoreAdj = 0
	conf.LocalStorageCapacityIsolation = false
	conf.EvictionHard = map[string]string{
		"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
		"imagefs.available": "0%", "imagefs.inodesFree": "0%",
	}
	conf.ImageGCHighThresholdPercent = 100
	conf.ImageGCLowThresholdPercent = 99
	conf.ClusterDomain = "cluster.local"
	conf.ClusterDNS = []string{cfg.ClusterDNS}
	conf.ResolverConfig = cfg.ResolverFile
	conf.MaxPods = cfg.MaxPods
	conf.MakeIPTablesUtilChains = false
	conf.EnableControllerAttachDetach = false
}

// setSpeed: nothing waits for a rate limit, and what nobody reads is not measured.
func setSpeed(conf *kubeletconfig.KubeletConfiguration) {
	conf.KubeAPIQPS = 1000
	conf.KubeAPIBurst = 2000
	conf.EventRecordQPS = 0
	conf.RegistryPullQPS = 0
	conf.SerializeImagePulls = false
	conf.VolumeStatsAggPeriod = metav1.Duration{Duration: -time.Second}
	conf.NodeStatusReportFrequency = metav1.Duration{Duration: 10 * time.Minute}
	// A watch per mounted object would have to begin before the first pod of a namespace can start. What a pod mounts is asked for when it
	// starts and kept for a minute: a start looks at it six times, and each question is a read of etcd.
	conf.ConfigMapAndSecretChangeDetectionStrategy = kubeletconfig.TTLCacheChangeDetectionStrategy
}

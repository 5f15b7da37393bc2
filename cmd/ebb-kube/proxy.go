package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	componentbase "k8s.io/component-base/config/v1alpha1"
	proxyconfig "k8s.io/kube-proxy/config/v1alpha1"
	"k8s.io/kubernetes/cmd/kube-proxy/app"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// proxyBatch is how long kube-proxy gathers changes before it writes rules.
const proxyBatch = 50 * time.Millisecond

// runProxy writes the rules of Services until the process ends: kube-proxy has no way to be asked to stop, and keeps nothing.
func runProxy(ctx context.Context, cfg *Proxy) error {
	data, err := yaml.Marshal(proxyConfiguration(cfg))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(cfg.Dir, "kube-proxy.yaml")
	if err := writeFile(path, data); err != nil {
		return err
	}
	cmd := app.NewProxyCommand()
	cmd.SetArgs([]string{"--config=" + path})
	cmd.SilenceUsage = true
	if err := cmd.ExecuteContext(ctx); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

func proxyConfiguration(cfg *Proxy) *proxyconfig.KubeProxyConfiguration {
	untouched := ptr.To[int32](0)
	return &proxyconfig.KubeProxyConfiguration{
		TypeMeta:         metav1.TypeMeta{APIVersion: proxyconfig.SchemeGroupVersion.String(), Kind: "KubeProxyConfiguration"},
		ClientConnection: componentbase.ClientConnectionConfiguration{Kubeconfig: cfg.Kubeconfig, QPS: 100, Burst: 200},
		HostnameOverride: cfg.NodeName,
		BindAddress:      cfg.NodeAddress,
		Mode:             "iptables",
		DetectLocalMode:  "ClusterCIDR",
		ClusterCIDR:      cfg.PodCIDR,
		// Node ports are for the node's own address: nothing here is for the network the machine is on.
		NodePortAddresses:  []string{cfg.NodeAddress + "/32"},
		HealthzBindAddress: net.JoinHostPort(cfg.NodeAddress, "10256"),
		MetricsBindAddress: net.JoinHostPort(cfg.NodeAddress, "10249"),
		IPTables: proxyconfig.KubeProxyIPTablesConfiguration{
			MasqueradeAll:      cfg.MasqueradeAll,
			LocalhostNodePorts: ptr.To(false),
			SyncPeriod:         metav1.Duration{Duration: time.Minute},
			MinSyncPeriod:      metav1.Duration{Duration: proxyBatch},
		},
		// The machine's connection tracking stays as its owner set it.
		Conntrack: proxyconfig.KubeProxyConntrackConfiguration{
			MaxPerCore: untouched, Min: untouched,
			TCPEstablishedTimeout: &metav1.Duration{}, TCPCloseWaitTimeout: &metav1.Duration{},
		},
	}
}

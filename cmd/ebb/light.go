package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"ebb.dev/ebb/cmd/ebb/agents"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/local/light"
	"ebb.dev/ebb/deploy/local/rootless"
	"ebb.dev/ebb/xds/agent/agentpb"
)

// lightFlags are those of a node that runs pods as plain processes.
type lightFlags struct {
	enabled                         bool
	dir, podCIDR                    string
	nameserver, clusterDomain       string
	apiServer                       string
	certFile, keyFile, clientCAFile string
	egress                          string
}

func (l *lightFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&l.enabled, "light", false, "run pods as plain processes, in a kubelet's place")
	f.StringVar(&l.dir, "light-dir", "", "where volumes and logs of pods are (default: light in --dir)")
	f.StringVar(&l.podCIDR, "pod-cidr", "", "the pods' network, whose first address is the bridge's")
	f.StringVar(&l.nameserver, "nameserver", "", "what pods resolve names with (default: as this machine does)")
	f.StringVar(&l.clusterDomain, "cluster-domain", "cluster.local", "the DNS domain of Services")
	f.StringVar(&l.apiServer, "api-server", "", "HOST:PORT where pods reach the API server, if not at its cluster address")
	f.StringVar(&l.certFile, "cert-file", "", "the certificate of the kubelet's API (default: there is none)")
	f.StringVar(&l.keyFile, "key-file", "", "its key")
	f.StringVar(&l.clientCAFile, "client-ca-file", "", "who may call it")
	f.StringVar(&l.egress, "egress-socket", "", "a unix socket that dials for this process")
}

// options are the light node's, but for its hooks.
func (l *lightFlags) options(o agents.NodeOptions, images string) (light.Options, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return light.Options{}, fmt.Errorf("kubeconfig %q: %w", o.Kubeconfig, err)
	}
	config.UserAgent = "ebb-node"
	store, err := image.Open(images)
	if err != nil {
		return light.Options{}, err
	}
	out := light.Options{
		Config: config, Name: o.Name, Dir: l.dir, Images: &image.Resolver{Store: store}, ClusterDomain: l.clusterDomain,
		CertFile: l.certFile, KeyFile: l.keyFile, ClientCAFile: l.clientCAFile, Log: o.Log,
	}
	if l.egress != "" {
		out.Images.Transport = &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return rootless.Dial(ctx, l.egress, network, address)
		}}
	}
	if l.nameserver != "" {
		out.Nameservers = []string{l.nameserver}
	}
	if l.podCIDR != "" {
		if out.Subnet, err = netip.ParsePrefix(l.podCIDR); err != nil {
			return light.Options{}, fmt.Errorf("--pod-cidr: %w", err)
		}
	}
	if l.apiServer != "" {
		if out.APIServerHost, out.APIServerPort, err = net.SplitHostPort(l.apiServer); err != nil {
			return light.Options{}, fmt.Errorf("--api-server: %w", err)
		}
	}
	return out, nil
}

// run makes the function that runs the light node with the node agent's hooks.
func (l *lightFlags) run(o agents.NodeOptions, images string) (func(context.Context, agents.Hooks) error, error) {
	options, err := l.options(o, images)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, hooks agents.Hooks) error {
		report := func(p light.PodAddressed, state agentpb.PodReport_State, at *timestamppb.Timestamp) {
			if p.Labels[serving.RevisionLabelKey] != "" {
				hooks.Report(&agentpb.PodReport{Namespace: p.Namespace, Name: p.Name, Uid: p.UID, Ip: p.IP, State: state, At: at})
			}
		}
		// The replica's proxy is programmed while the programs start.
		options.OnAddress = func(p light.PodAddressed) { report(p, agentpb.PodReport_STARTING, nil) }
		options.OnStart = func(p light.PodStarted) { report(p.PodAddressed, agentpb.PodReport_STARTED, timestamppb.New(p.At)) }
		options.OnStop = func(p light.PodStopped) {
			hooks.Report(&agentpb.PodReport{Namespace: p.Namespace, Name: p.Name, Uid: p.UID, Ip: p.IP, State: agentpb.PodReport_STOPPED, At: timestamppb.New(p.At)})
		}
		options.Drain = func(ctx context.Context, pod *corev1.Pod) error {
			if pod.Labels[serving.RevisionLabelKey] == "" {
				return nil
			}
			return hooks.Drain(ctx, pod.Namespace, pod.Name)
		}
		options.OnReady = func(info light.Info) { tellLeftOut(o.Log, info) }
		return light.Run(ctx, options)
	}, nil
}

// tellLeftOut logs what a kubelet does and this node does not, a line each.
func tellLeftOut(log *slog.Logger, info light.Info) {
	for _, what := range light.LeavesOut(info.Ability) {
		log.Info("light node leaves out", "what", what)
	}
}

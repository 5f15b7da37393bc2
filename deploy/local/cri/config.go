package cri

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Config says where the parts of one containerd are.
type Config struct {
	// Root holds images and snapshots, State what does not outlive the process, Sockets is a short path (42 bytes at most).
	Root, State, Sockets string
	// Conf is the folder of generated configuration.
	Conf string
	// Runc and Shim are the programs; CNI the folder of network plugins.
	Runc, Shim, CNI string
	// Snapshotter is "overlayfs" or "native".
	Snapshotter string
	// SandboxImage is the reference of the pause image.
	SandboxImage string
	// Bridge, PodCIDR and Gateway are the pod network.
	Bridge, PodCIDR, Gateway string
	// Registry is the URL of the local image registry, asked before any other; empty: none.
	Registry string
}

// Socket is where containerd serves the CRI.
func (c Config) Socket() string { return filepath.Join(c.Sockets, "containerd.sock") }

// File is containerd's configuration.
func (c Config) File() string { return filepath.Join(c.Conf, "containerd.toml") }

func (c Config) cniConf() string  { return filepath.Join(c.Conf, "cni") }
func (c Config) hosts() string    { return filepath.Join(c.Conf, "registries") }
func (c Config) cniState() string { return filepath.Join(c.State, "cni") }

// Write puts all files in place.
func (c Config) Write() error {
	network, err := c.network()
	if err != nil {
		return err
	}
	for path, content := range map[string]string{
		c.File(): c.toml(),
		filepath.Join(c.cniConf(), "10-ebb.conflist"):       network,
		filepath.Join(c.hosts(), "_default", "hosts.toml"):  c.mirror(),
		filepath.Join(c.hosts(), "ebb.local", "hosts.toml"): c.localOnly(),
		filepath.Join(c.hosts(), pauseHost(), "hosts.toml"): "",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	for _, d := range []string{c.Root, c.State, c.Sockets} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// unused plugins cost memory and start time.
var unused = []string{
	"io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs",
	"io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.differ.v1.erofs", "io.containerd.mount-handler.v1.erofs",
	"io.containerd.nri.v1.nri", "io.containerd.image-verifier.v1.bindir", "io.containerd.tracing.processor.v1.otlp",
	"io.containerd.internal.v1.tracing", "io.containerd.ttrpc.v1.otelttrpc", "io.containerd.internal.v1.restart", "io.containerd.monitor.container.v1.restart",
}

func (c Config) toml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version = 4\nroot = %q\nstate = %q\n", c.Root, filepath.Join(c.State, "containerd"))
	fmt.Fprintf(&b, "disabled_plugins = [%s]\n", quoted(unused))
	b.WriteString("\n[debug]\n  level = \"warn\"\n")
	const server = "\n[plugins.'io.containerd.server.v1.%s']\n  address = %q\n"
	fmt.Fprintf(&b, server+server, "grpc", c.Socket(), "ttrpc", c.Socket()+".ttrpc")
	fmt.Fprintf(&b, "\n[plugins.'io.containerd.shim.v1.manager']\n  socket_dir = %q\n", filepath.Join(c.Sockets, "s"))
	// Images are unpacked by the transfer service, which must be told the snapshotter too.
	fmt.Fprintf(&b, `
[[plugins.'io.containerd.transfer.v1.local'.unpack_config]]
  platform = "linux/%s"
  snapshotter = %q
  differ = "walking"
`, runtime.GOARCH, c.Snapshotter)
	fmt.Fprintf(&b, `
[plugins.'io.containerd.cri.v1.images']
  snapshotter = %q
  stats_collect_period = 60
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = %q
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = %q
`, c.Snapshotter, c.SandboxImage, c.hosts())
	fmt.Fprintf(&b, `
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = [%q]
    conf_dir = %q
    use_internal_loopback = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      runtime_path = %q
      snapshotter = %q
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = %q
        Root = %q

[plugins.'io.containerd.grpc.v1.cri']
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
`, c.CNI, c.cniConf(), c.Shim, c.Snapshotter, c.Runc, filepath.Join(c.State, "runc"))
	return b.String()
}

// network is one bridge plugin and nothing chained after it: every further plugin is another process in every pod's start.
func (c Config) network() (string, error) {
	data, err := json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0",
		"name":       "ebb",
		"plugins": []any{map[string]any{
			"type":   "bridge",
			"bridge": c.Bridge,
			// The bridge is ours and has its address; the plugin need not look after it.
			"isGateway":   false,
			"ipMasq":      false,
			"hairpinMode": true,
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": c.cniState(),
				"ranges":  []any{[]any{map[string]any{"subnet": c.PodCIDR, "gateway": c.Gateway}}},
				"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
			},
		}},
	}, "", "  ")
	return string(data), err
}

// mirror sends every pull to the local registry first, which knows the registry meant from the query parameter ns; what it does not have
// is asked for where the name says.
func (c Config) mirror() string {
	if c.Registry == "" {
		return ""
	}
	return fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", c.Registry)
}

// localOnly is for images that exist nowhere else.
func (c Config) localOnly() string {
	if c.Registry == "" {
		return ""
	}
	return fmt.Sprintf("server = %q\n%s", c.Registry, c.mirror())
}

// ClearVolatile removes what the last run left of networks and sandboxes. No container may run.
func (c Config) ClearVolatile() error {
	return errors.Join(os.RemoveAll(c.State), os.RemoveAll(c.Sockets))
}

func quoted(items []string) string {
	var out []string
	for _, i := range items {
		out = append(out, fmt.Sprintf("%q", i))
	}
	return strings.Join(out, ", ")
}

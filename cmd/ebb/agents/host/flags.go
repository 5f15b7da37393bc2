package host

import (
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
)

// Flags adds what every agent is told.
func (c *Common) Flags(f *pflag.FlagSet, level *string) {
	f.StringVar(&c.ControlPlane, "control-plane", "ebb-control-plane.ebb-system.svc:15010", "HOST:PORT or unix:PATH")
	f.StringVar(&c.TrustDomain, "trust-domain", "cluster.local", "the SPIFFE trust domain")
	f.StringVar(&c.TrustFile, "trust-file", "/var/run/ebb/trust/roots.pem", "the roots to begin with")
	f.StringVar(&c.TokenFile, "token-file", "", "the token that proves who this is (default: ask the API server for one)")
	f.StringVar(&c.Kubeconfig, "kubeconfig", "", "the cluster (default: the one this pod runs in)")
	f.StringVar(&c.Dir, "dir", "/var/run/ebb/agent", "a private folder for sockets")
	f.StringVar(&c.Envoy, "envoy", Beside("envoy"), "the Envoy to run (default: the one beside this program)")
	f.DurationVar(&c.Drain, "drain", 5*time.Second, "how long a stop waits for requests in flight")
	f.StringVar(level, "log-level", "info", "debug, info, warn or error")
}

// Beside is a program in the folder of this one, or empty.
func Beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// changedSysctls are those that we or the kubelet set.
var changedSysctls = []string{
	"net/ipv4/ip_forward",
	"net/bridge/bridge-nf-call-iptables",
	"vm/overcommit_memory",
	"vm/panic_on_oom",
	"kernel/panic",
	"kernel/panic_on_oops",
	"kernel/keys/root_maxkeys",
	"kernel/keys/root_maxbytes",
}

// Ledger is the file that says what to put back.
type Ledger struct{ path string }

// NewLedger names the file; it need not exist.
func NewLedger(path string) Ledger { return Ledger{path} }

// entries is the file's content.
type entries struct {
	// Namespace is the network namespace that was changed, as /proc shows it.
	Namespace string `json:"namespace,omitempty"`
	// Index is the number of the pod network that was set up.
	Index int `json:"index"`
	// Proxy says that chains of kube-proxy are ours.
	Proxy bool `json:"proxy"`
	// Sysctls are the values before.
	Sysctls map[string]string `json:"sysctls"`
}

// namespace is the network namespace this thread is in.
func namespace() string {
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return ""
	}
	return name
}

// elsewhere reports whether the network that was changed is not the one we see: it went with its processes, and what has the same names
// here is somebody else's.
func (e *entries) elsewhere() bool { return e.Namespace != "" && e.Namespace != namespace() }

// beyondNetwork drops the sysctls that belong to a network namespace.
func beyondNetwork(values map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range values {
		if !strings.HasPrefix(name, "net/") {
			out[name] = value
		}
	}
	return out
}

func (l Ledger) read() (*entries, error) {
	data, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := &entries{}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	return e, nil
}

func (l Ledger) write(e *entries) error {
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(l.path+".new", l.path)
}

func (l Ledger) remove() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sysctls reads the named values below root (/proc/sys); what the kernel does not have is left out.
func readSysctls(root string, names []string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		if data, err := os.ReadFile(filepath.Join(root, name)); err == nil {
			out[name] = strings.TrimSpace(string(data))
		}
	}
	return out
}

// restoreSysctls writes the values that differ.
func restoreSysctls(root string, values map[string]string) error {
	now := readSysctls(root, changedSysctls)
	var errs []error
	for name, before := range values {
		if now[name] == before {
			continue
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(before), 0); err != nil {
			errs = append(errs, fmt.Errorf("sysctl %s back to %s: %w", strings.ReplaceAll(name, "/", "."), before, err))
		}
	}
	return errors.Join(errs...)
}

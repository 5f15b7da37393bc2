package report

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is where a run was made, and with what.
type Machine struct {
	CPU    string    `json:"cpu"`
	Cores  int       `json:"cores"`
	Memory string    `json:"memory"`
	Kernel string    `json:"kernel"`
	Envoy  string    `json:"envoy"`
	Go     string    `json:"go"`
	Commit string    `json:"commit"`
	At     time.Time `json:"at"`
	// Load is the load average at the start: other work makes figures worse.
	Load string `json:"load"`
}

// ThisMachine looks around. bin is the folder of the binaries.
func ThisMachine(ctx context.Context, bin string) Machine {
	m := Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: field("/proc/meminfo", "MemTotal"),
		Go: runtime.Version(), At: time.Now().UTC().Truncate(time.Second),
		Commit: output(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12"),
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	// "…/envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL"
	if parts := strings.Split(output(ctx, filepath.Join(bin, "envoy"), "--version"), "/"); len(parts) > 4 {
		m.Envoy = parts[len(parts)-4]
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(data))[:3], " ")
	}
	return m
}

func field(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func output(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (m Machine) markdown(b *bytes.Buffer) {
	fmt.Fprintf(b, "%s, %d cores, %s · Linux %s · Envoy %s · %s · commit %s · %s · load before the run %s\n\n",
		m.CPU, m.Cores, m.Memory, m.Kernel, m.Envoy, m.Go, m.Commit, m.At.Format(time.RFC3339), m.Load)
}

package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxRoot is the longest root below which all unix sockets fit: the kernel allows 107 bytes, containerd 42 for the folder of its shims.
const maxRoot = 36

// Dir is an opened state folder.
type Dir struct {
	root string
	run  string
}

// RunVariable names the run folder for a process that would choose another: one that is root in a user namespace.
const RunVariable = "EBB_RUN_DIR"

// Open makes the folder if it is missing. Its owner alone can enter it.
func Open(path string) (*Dir, error) {
	d, err := Find(path)
	if err != nil {
		return nil, err
	}
	for _, p := range []string{d.root, d.run, d.Logs(), d.records()} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			return nil, fmt.Errorf("state folder %s: %w", d.root, err)
		}
	}
	return d, ownedByUs(d.run)
}

// Find names the folder at path without making it.
func Find(path string) (*Dir, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{root: root, run: filepath.Join(root, "run")}
	if run := os.Getenv(RunVariable); run != "" {
		d.run = run
	} else if len(root) > maxRoot {
		d.run = filepath.Join(runtimeDir(), "ebb-"+d.ID())
	}
	return d, nil
}

// runtimeDir is where sockets go when the state folder's path is too long for them.
func runtimeDir() string {
	if os.Geteuid() == 0 {
		return "/run"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && len(dir) < 60 {
		return dir
	}
	return os.TempDir()
}

// Default is ~/.ebb.
func Default() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home folder (%w): name a state folder with --state", err)
	}
	return filepath.Join(home, ".ebb"), nil
}

// Root is the folder itself.
func (d *Dir) Root() string { return d.root }

// ID tells this folder's things (cgroups, chains, devices) from those of another: eight hexadecimal digits, the same every time.
func (d *Dir) ID() string {
	sum := sha256.Sum256([]byte(d.root))
	return hex.EncodeToString(sum[:4])
}

// Path is a path below the folder.
func (d *Dir) Path(elem ...string) string { return filepath.Join(append([]string{d.root}, elem...)...) }

// Run is the folder of sockets and records: nothing in it outlives the processes.
func (d *Dir) Run(elem ...string) string { return filepath.Join(append([]string{d.run}, elem...)...) }

// Logs is the folder of log files.
func (d *Dir) Logs() string { return d.Path("logs") }

// Log is the log file of a component.
func (d *Dir) Log(component string) string { return filepath.Join(d.Logs(), component+".log") }

// PKI is the folder of certificates.
func (d *Dir) PKI() string { return d.Path("pki") }

// Kubeconfig is the user's way in.
func (d *Dir) Kubeconfig() string { return d.Path("kubeconfig") }

func (d *Dir) records() string { return filepath.Join(d.run, "processes") }

// Exists reports whether an `ebb up` has ever used the folder.
func (d *Dir) Exists() bool {
	_, err := os.Stat(d.Path("instance.json"))
	return err == nil
}

// Instance is what a second `ebb up` must choose as the first did.
type Instance struct {
	// Version is the layout of the folder.
	Version int `json:"version"`
	// Network is the number of the pod network: bridge ebbN, 10.(244+N).0.0/24.
	Network int `json:"network"`
	// APIPort and HTTPPort are on 127.0.0.1. 0: not chosen yet.
	APIPort  int `json:"apiPort"`
	HTTPPort int `json:"httpPort"`
	// RegistryPort is that of the image registry, on 127.0.0.1.
	RegistryPort int `json:"registryPort"`
	// Node is "kubelet" or "light".
	Node string `json:"node"`
	// NodeName is the name of the Node object.
	NodeName string `json:"nodeName"`
}

// layout is the version of the folder's format.
const layout = 1

// Load reads the persisted choices; of a new folder they are zero.
func (d *Dir) Load() (Instance, error) {
	inst := Instance{Version: layout}
	err := readJSON(d.Path("instance.json"), &inst)
	if errors.Is(err, fs.ErrNotExist) {
		return inst, nil
	}
	if err != nil {
		return inst, fmt.Errorf("%w; start afresh with: ebb down --purge", err)
	}
	if inst.Version != layout {
		return inst, fmt.Errorf("state folder %s has layout %d, this ebb writes %d; start afresh with: ebb down --purge", d.root, inst.Version, layout)
	}
	return inst, nil
}

// Save persists the choices.
func (d *Dir) Save(inst Instance) error { return writeJSON(d.Path("instance.json"), inst) }

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeJSON replaces path in one step.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

package sandbox

import (
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Mode says how far processes are kept apart.
type Mode string

// The modes.
const (
	// Isolated: own root file system, network and process namespaces.
	Isolated Mode = "isolated"
	// Plain: ordinary processes on the host's network.
	Plain Mode = "plain"
)

// Spec describes one process to start.
type Spec struct {
	ID       string // unique on this node: names its directory and control group
	Rootfs   string // the unpacked image; not written to
	ReadOnly bool   // the program sees a read-only root file system

	Args     []string // Args[0] is looked up in the PATH of Env
	Env      []string // KEY=value
	Dir      string   // working directory, made if it is not there; empty is /
	Hostname string
	User     User

	Mounts  []Mount
	Network *Network // nil is the host's
	Cgroup  *Cgroup  // nil is the node's own

	Privileged bool     // all capabilities, the host's devices
	Caps       []string // capabilities, as Capabilities gives them; ignored if Privileged
	NoNewPrivs bool
	// The standard streams. Nil is /dev/null. With TTY, Stdin is a terminal and becomes the controlling one.
	Stdin, Stdout, Stderr *os.File
	TTY                   bool

	inside bool // an Exec into another's process namespace
}

// User is who a process runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
}

// Mount puts a file or directory of the host into the container. The target is resolved inside the container's root, as the program would see it.
type Mount struct {
	Source   string
	SubPath  string // inside Source, which no link leaves; empty is Source itself
	Target   string
	ReadOnly bool
	Tmpfs    int64 // instead of Source: a tmpfs of that many bytes; -1 is without a limit
}

// Exit is how a process ended.
type Exit struct {
	Code      int // of the process, or 128 + the signal
	Signal    syscall.Signal
	OOMKilled bool
	At        time.Time
}

// StartError says that the program could not be executed: it is the container's fault, not the node's.
type StartError struct {
	Path string
	Err  error
}

func (e *StartError) Error() string {
	return `exec: "` + e.Path + `": ` + e.Err.Error()
}

func (e *StartError) Unwrap() error { return e.Err }

// Options say where and how sandboxes are made.
type Options struct {
	Dir string // state; short-lived, removed at Close
	// Mode forces a mode; empty chooses the best that works here.
	Mode Mode
	// Subnet is where pods get their addresses, its first address is the bridge's. Zero is the first of 10.244.N.0/24 that no other node on this machine uses.
	Subnet netip.Prefix
	// Bridge is a bridge that exists and has Subnet's first address; it is used and left alone. Empty: the bridge
	// that has this address, or else one that the host makes and removes.
	Bridge string
	// Pool is how many network namespaces are kept ready; 0 is DefaultPool.
	Pool int
	// Warn is told of what could not be cleaned up. Nil drops it.
	Warn func(what string, err error)
}

// DefaultPool is enough for a burst that a two-core machine can start at once.
const DefaultPool = 80

// tmpfsUnlimited is a Mount.Tmpfs without a size.
const tmpfsUnlimited = -1

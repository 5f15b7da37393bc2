package sandbox

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Network is a network namespace with one address, reachable over the bridge. Only the open file keeps it alive.
type Network struct {
	IP   netip.Addr
	ns   *os.File
	link string // the bridge's end of the cable
}

// networks makes network namespaces ahead of time and takes them back. An address rests as long as possible before it is used again.
type networks struct {
	bridge  string
	foreign bool // the bridge is somebody else's
	index   int  // of the bridge link
	gateway netip.Addr
	subnet  netip.Prefix
	lock    net.Listener // held while this node uses the bridge's name and subnet
	warn    func(string, error)

	mu     sync.Mutex
	free   []*Network // first in, first out
	unused []netip.Addr
	want   int
	closed bool
	wake   chan struct{} // capacity 1: there may be something to make
	done   chan struct{}
}

// maxNodes is how many nodes one machine runs beside each other; each has its bridge and subnet.
const maxNodes = 16

// openNetworks sets up the bridge and starts filling the pool.
func openNetworks(bridge string, subnet netip.Prefix, pool int, warn func(string, error)) (*networks, error) {
	if bridge == "" && subnet.IsValid() {
		bridge = bridgeWith(subnet.Masked().Addr().Next())
	}
	for i := range maxNodes {
		n := &networks{bridge: cmp.Or(bridge, "ebbl"+strconv.Itoa(i)), foreign: bridge != "", subnet: subnet, want: pool, warn: warn, wake: make(chan struct{}, 1), done: make(chan struct{})}
		if !n.subnet.IsValid() {
			n.subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(i), 0}), 24)
		}
		ok, err := n.claim()
		if err != nil {
			return nil, err
		}
		if !ok && n.foreign {
			return nil, fmt.Errorf("another node uses the bridge %s; stop it", bridge)
		}
		if ok && !n.foreign && inUse(n.subnet, n.bridge) {
			n.lock.Close()
			if subnet.IsValid() {
				return nil, fmt.Errorf("subnet %s is in use on this machine; choose another", subnet)
			}
			continue
		}
		if !ok {
			continue
		}
		if err := n.open(); err != nil {
			n.lock.Close()
			return nil, err
		}
		return n, nil
	}
	return nil, fmt.Errorf("%d nodes run on this machine already; stop one", maxNodes)
}

// inUse reports whether an interface other than the named one has an address in the subnet.
func inUse(subnet netip.Prefix, except string) bool {
	interfaces, err := net.Interfaces()
	if err != nil {
		return false
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil || i.Name == except {
			continue
		}
		for _, a := range addrs {
			if other, err := netip.ParsePrefix(a.String()); err == nil && other.Overlaps(subnet) {
				return true
			}
		}
	}
	return false
}

// bridgeWith finds the bridge that has the address; empty if none has.
func bridgeWith(ip netip.Addr) string {
	links, err := netlink.LinkList()
	if err != nil {
		return ""
	}
	for _, l := range links {
		if _, ok := l.(*netlink.Bridge); !ok {
			continue
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if got, ok := netip.AddrFromSlice(a.IP); ok && got.Unmap() == ip {
				return l.Attrs().Name
			}
		}
	}
	return ""
}

// claim takes the bridge's name for this process; the kernel gives it back however the process ends. Abstract sockets belong to a network
// namespace as bridges do, so two nodes claim the same name only where they would share the bridge.
func (n *networks) claim() (bool, error) {
	lock, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@ebb-light-" + n.bridge, Net: "unix"})
	if errors.Is(err, unix.EADDRINUSE) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claim bridge %s: %w", n.bridge, err)
	}
	n.lock = lock
	return true, nil
}

func (n *networks) open() error {
	if err := n.removeRemains(); err != nil {
		return err
	}
	n.subnet = n.subnet.Masked()
	n.gateway = n.subnet.Addr().Next()
	if err := n.openBridge(); err != nil {
		return fmt.Errorf("bridge %s: %w", n.bridge, err)
	}
	// The last address of an IPv4 subnet is its broadcast address.
	for ip := n.gateway.Next(); n.subnet.Contains(ip) && n.subnet.Contains(ip.Next()); ip = ip.Next() {
		n.unused = append(n.unused, ip)
	}
	go n.fill()
	n.poke()
	return nil
}

func (n *networks) openBridge() error {
	if n.foreign {
		link, err := netlink.LinkByName(n.bridge)
		if err != nil {
			return err
		}
		n.index = link.Attrs().Index
		return nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.bridge
	attrs.HardwareAddr = hardwareAddr(n.gateway) // pinned: a bridge otherwise takes over the lowest of its ports' and confuses neighbours
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return err
	}
	n.index = bridge.Index
	if err := netlink.AddrAdd(bridge, &netlink.Addr{IPNet: ipNet(n.gateway, n.subnet.Bits())}); err != nil {
		return fmt.Errorf("address %s: %w", n.gateway, err)
	}
	return netlink.LinkSetUp(bridge)
}

// removeRemains deletes the bridge and cables of a node that crashed. Its namespaces went with its last process.
func (n *networks) removeRemains() error {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		name := l.Attrs().Name
		if name == n.bridge && !n.foreign || strings.HasPrefix(name, n.bridge+"-") {
			if err := netlink.LinkDel(l); err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) && !errors.Is(err, unix.ENODEV) {
				return fmt.Errorf("remove link %s of the last run: %w", name, err)
			}
		}
	}
	return nil
}

func (n *networks) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// fill keeps the pool full, in the background, one at a time: the kernel serialises it anyway.
func (n *networks) fill() {
	defer close(n.done)
	for range n.wake {
		for {
			n.mu.Lock()
			if n.closed {
				n.mu.Unlock()
				return
			}
			if len(n.free) >= n.want || len(n.unused) == 0 {
				n.mu.Unlock()
				break
			}
			n.mu.Unlock()
			net, err := n.make()
			if err != nil {
				n.warn("make a network namespace", err)
				break
			}
			n.mu.Lock()
			n.free = append(n.free, net)
			n.mu.Unlock()
		}
	}
}

// get takes a namespace from the pool, or makes one if a burst has emptied it.
func (n *networks) get() (*Network, error) {
	n.mu.Lock()
	if len(n.free) > 0 {
		net := n.free[0]
		n.free = n.free[1:]
		n.mu.Unlock()
		n.poke()
		return net, nil
	}
	n.mu.Unlock()
	return n.make()
}

// put takes a namespace back. clean says that its processes could not change it; else it is replaced.
func (n *networks) put(net *Network, clean bool) {
	n.mu.Lock()
	if clean && !n.closed {
		n.free = append(n.free, net)
		n.mu.Unlock()
		return
	}
	n.mu.Unlock()
	n.destroy(net)
	n.mu.Lock()
	n.unused = append(n.unused, net.IP)
	n.mu.Unlock()
	n.poke()
}

func (n *networks) destroy(net *Network) {
	net.ns.Close()
	if l, err := netlink.LinkByName(net.link); err == nil {
		if err := netlink.LinkDel(l); err != nil {
			n.warn("remove link "+net.link, err)
		}
	}
}

func (n *networks) make() (*Network, error) {
	n.mu.Lock()
	if len(n.unused) == 0 {
		n.mu.Unlock()
		return nil, fmt.Errorf("subnet %s has no free address; run fewer pods or give the node a larger subnet", n.subnet)
	}
	ip := n.unused[0]
	n.unused = n.unused[1:]
	n.mu.Unlock()
	net, err := n.makeFor(ip)
	if err != nil {
		n.mu.Lock()
		n.unused = append(n.unused, ip)
		n.mu.Unlock()
		return nil, fmt.Errorf("network namespace for %s: %w", ip, err)
	}
	return net, nil
}

func (n *networks) makeFor(ip netip.Addr) (*Network, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	low := binary.BigEndian.Uint32(ip.AsSlice())
	pod := &Network{IP: ip, ns: ns, link: fmt.Sprintf("%s-%x", n.bridge, low&0xffffff)}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex, attrs.Flags = pod.link, n.index, net.FlagUp
	cable := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: hardwareAddr(ip), PeerNamespace: netlink.NsFd(ns.Fd())}
	if err := netlink.LinkAdd(cable); err != nil {
		ns.Close()
		return nil, err
	}
	if err := n.configure(pod); err != nil {
		n.destroy(pod)
		return nil, err
	}
	return pod, nil
}

// configure gives the pod's end its address and route.
func (n *networks) configure(pod *Network) error {
	handle, err := netlink.NewHandleAt(netns.NsHandle(pod.ns.Fd()))
	if err != nil {
		return err
	}
	defer handle.Close()
	lo, err := handle.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := handle.LinkSetUp(lo); err != nil {
		return err
	}
	eth, err := handle.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := handle.AddrAdd(eth, &netlink.Addr{IPNet: ipNet(pod.IP, n.subnet.Bits())}); err != nil {
		return err
	}
	if err := handle.LinkSetUp(eth); err != nil {
		return err
	}
	return handle.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: n.gateway.AsSlice()})
}

// newNamespace makes an empty network namespace, in a thread that returns to its own.
func newNamespace() (*os.File, error) {
	type result struct {
		ns  *os.File
		err error
	}
	c := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		ns, back, err := unshareNetwork()
		c <- result{ns, err}
		if !back {
			park()
		}
		runtime.UnlockOSThread()
	}()
	r := <-c
	return r.ns, r.err
}

// unshareNetwork does it; back is false if the thread is stuck in the new namespace.
func unshareNetwork() (ns *os.File, back bool, err error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, true, err
	}
	defer home.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, true, err
	}
	for file, value := range podSysctls {
		_ = os.WriteFile("/proc/sys/net/"+file, []byte(value), 0) // a kernel without IPv6 lacks some
	}
	ns, err = os.Open("/proc/thread-self/ns/net")
	return ns, unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil, err
}

// podSysctls: pods have no IPv6 address, so no time goes into finding one out; unprivileged programs may listen on port 80, as under containerd.
var podSysctls = map[string]string{
	"ipv6/conf/all/disable_ipv6":      "1",
	"ipv6/conf/default/disable_ipv6":  "1",
	"ipv4/ip_unprivileged_port_start": "0",
	"ipv4/ping_group_range":           "0 2147483647",
}

func (n *networks) close() error {
	n.mu.Lock()
	n.closed = true
	free := n.free
	n.free = nil
	n.mu.Unlock()
	n.poke()
	<-n.done
	for _, net := range free {
		net.ns.Close() // the cable goes with the namespace or, below, with the bridge's end
	}
	err := n.removeRemains()
	// The lock file stays: were it removed, two nodes could each lock a file of this name.
	return errors.Join(err, n.lock.Close())
}

// hardwareAddr derives the link address from the IP, so that a neighbour's memory of it is never stale.
func hardwareAddr(ip netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{0x0a, 0x58}, ip.AsSlice()...)
}

func ipNet(ip netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(bits, ip.BitLen())}
}

// DialIn connects to a port on the loopback of a pod's network; a nil Network is the host's.
func (h *Host) DialIn(n *Network, port string) (net.Conn, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", port, err)
	}
	fd := -1
	// The socket belongs to the namespace it is made in; connecting to loopback does not wait.
	err = h.InNetwork(n, func() error {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Connect(fd, &unix.SockaddrInet4{Port: int(number), Addr: [4]byte{127, 0, 0, 1}})
	})
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "pod")
	defer f.Close()
	return net.FileConn(f)
}

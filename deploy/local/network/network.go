package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const procSys = "/proc/sys"

// bothFamilies are the iptables commands; version 6 is left out where it is missing.
var bothFamilies = []string{"iptables", "ip6tables"}

// Options say what Up sets up.
type Options struct {
	// Proxy: pods have network namespaces of their own and kube-proxy will run. Without it there is only the bridge, whose addresses the
	// light node's processes use, and no rule is written.
	Proxy bool
}

// Result is what Up found.
type Result struct {
	// Uplink: there is a way out of this machine, and pods may use it.
	Uplink bool
	// BridgeFiltered: iptables sees packets between two pods, so that Services work between them without masquerading.
	BridgeFiltered bool
}

// Up makes the network of plan. It may be called again.
func Up(plan Plan, ledger Ledger, opts Options) (Result, error) {
	var result Result
	if err := claim(plan, ledger, opts); err != nil {
		return result, err
	}
	if err := ensureBridge(plan); err != nil {
		return result, err
	}
	result.Uplink = hasUplink()
	if !opts.Proxy {
		return result, nil
	}
	if err := ensureServiceRoute(plan); err != nil {
		return result, err
	}
	if err := setSysctl("net/ipv4/ip_forward", "1"); err != nil {
		return result, err
	}
	result.BridgeFiltered = setSysctl("net/bridge/bridge-nf-call-iptables", "1") == nil
	if err := restore("iptables", plan.rules(result.Uplink)); err != nil {
		return result, err
	}
	for _, h := range plan.hooks() {
		if err := ensureHook(h); err != nil {
			return result, err
		}
	}
	return result, nil
}

// claim writes down what is to be changed, before it is. What an unclean end left in the ledger is older and therefore right.
func claim(plan Plan, ledger Ledger, opts Options) error {
	old, err := ledger.read()
	if err != nil {
		return err
	}
	if old != nil && !old.elsewhere() {
		old.Proxy = old.Proxy || opts.Proxy
		old.Index = plan.Index
		return ledger.write(old)
	}
	if opts.Proxy {
		save, err := savedTable("iptables", "nat")
		if err != nil {
			return err
		}
		if len(chainsOf(save, kubeChains)) > 0 {
			return errors.New("this machine's iptables hold chains of another kube-proxy (KUBE-*): another Kubernetes or another `ebb up` runs here; " +
				"stop it, or use --node=light, or remove what it left with: iptables-save | grep -v KUBE- | iptables-restore")
		}
	}
	return ledger.write(&entries{Namespace: namespace(), Index: plan.Index, Proxy: opts.Proxy, Sysctls: readSysctls(procSys, changedSysctls)})
}

// Down undoes Up and what kube-proxy and kubelet did. It may be called when there is nothing to undo.
func Down(ledger Ledger) error {
	e, err := ledger.read()
	if err != nil || e == nil {
		return err
	}
	if e.elsewhere() {
		if err := restoreSysctls(procSys, beyondNetwork(e.Sysctls)); err != nil {
			return err
		}
		return ledger.remove()
	}
	plan := Plan{Index: e.Index}
	prefixes := []string{plan.chain("")}
	errs := []error{removeBridge(plan), restoreSysctls(procSys, e.Sysctls)}
	if e.Proxy {
		errs = append(errs, removeChains(append(prefixes, kubeChains...)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return ledger.remove()
}

func removeChains(prefixes []string) error {
	var errs []error
	for _, command := range bothFamilies {
		if _, err := exec.LookPath(command); err != nil {
			continue
		}
		for _, table := range []string{"nat", "filter", "mangle"} {
			save, err := savedTable(command, table)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if script := removal(table, save, prefixes); script != "" {
				errs = append(errs, restore(command, script))
			}
		}
	}
	return errors.Join(errs...)
}

func ensureBridge(plan Plan) error {
	name := plan.Bridge()
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = name, plan.MAC()
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("make bridge %s: %w", name, err)
		}
		if link, err = netlink.LinkByName(name); err != nil {
			return err
		}
	case err != nil:
		return err
	case link.Type() != "bridge" || link.Attrs().HardwareAddr.String() != plan.MAC().String():
		return fmt.Errorf("device %s exists and is not ours; remove it with: ip link delete %s", name, name)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: plan.Address().AsSlice(), Mask: net.CIDRMask(plan.CIDR().Bits(), 32)}}
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("address %s on %s: %w", plan.Address(), name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// ensureServiceRoute lets the machine itself reach Services without a way to the world: kube-proxy's rules see a packet only if there is
// some route for it. It goes with the bridge.
func ensureServiceRoute(plan Plan) error {
	link, err := netlink.LinkByName(plan.Bridge())
	if err != nil {
		return err
	}
	_, services, err := net.ParseCIDR(ServiceCIDR)
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: services, Scope: netlink.SCOPE_LINK, Src: plan.Address().AsSlice()}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route %s to %s: %w", ServiceCIDR, plan.Bridge(), err)
	}
	return nil
}

func removeBridge(plan Plan) error {
	link, err := netlink.LinkByName(plan.Bridge())
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	// Ends of pods whose network namespaces are already gone would stay otherwise.
	ports, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, port := range ports {
		if port.Attrs().MasterIndex == link.Attrs().Index {
			netlink.LinkDel(port)
		}
	}
	return netlink.LinkDel(link)
}

// Free reports whether no device, route or address stands in the way of plan.
func Free(plan Plan) bool {
	if _, err := netlink.LinkByName(plan.Bridge()); err == nil {
		return false
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return true
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if ones, _ := r.Dst.Mask.Size(); ones > 0 && (r.Dst.Contains(plan.Address().AsSlice()) || plan.contains(r.Dst.IP)) {
			return false
		}
	}
	return true
}

func (p Plan) contains(ip net.IP) bool {
	n := net.IPNet{IP: p.CIDR().Addr().AsSlice(), Mask: net.CIDRMask(p.CIDR().Bits(), 32)}
	return n.Contains(ip)
}

// Choose returns the first plan that is free.
func Choose() (Plan, error) {
	for i := range 256 {
		if plan := (Plan{Index: i}); Free(plan) {
			return plan, nil
		}
	}
	return Plan{}, errors.New("no free pod network: 10.244.0.0/24 to 10.244.255.0/24 all overlap with routes of this machine")
}

// hasUplink reports whether there is a default route.
func hasUplink() bool {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return false
	}
	for _, r := range routes {
		if r.Dst == nil {
			return true
		}
		if ones, bits := r.Dst.Mask.Size(); ones == 0 && bits == 32 {
			return true
		}
	}
	return false
}

// setSysctl writes a value that is not there yet.
func setSysctl(name, value string) error {
	if readSysctls(procSys, []string{name})[name] == value {
		return nil
	}
	if err := os.WriteFile(filepath.Join(procSys, name), []byte(value), 0); err != nil {
		return fmt.Errorf("sysctl %s=%s: %w", name, value, err)
	}
	return nil
}

func ensureHook(h hook) error {
	rule := []string{h.from, "-m", "comment", "--comment", "ebb", "-j", h.to}
	check := append([]string{"-w", "5", "-t", h.table, "-C"}, rule...)
	if exec.Command("iptables", check...).Run() == nil {
		return nil
	}
	return run(nil, "iptables", append([]string{"-w", "5", "-t", h.table, "-I"}, rule...)...)
}

func savedTable(command, table string) (string, error) {
	var out bytes.Buffer
	cmd := exec.Command(command+"-save", "-t", table)
	cmd.Stdout = &out
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s-save -t %s: %w: %s", command, table, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out.String(), nil
}

func restore(command, script string) error {
	return run([]byte(script), command+"-restore", "--noflush", "--wait", "5")
}

func run(stdin []byte, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed; on Debian: apt-get install iptables", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Allowed reports whether this process may change the network: it has CAP_NET_ADMIN here.
func Allowed() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

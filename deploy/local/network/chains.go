package network

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
)

// kubeChains are the prefixes of the chains kube-proxy and kubelet make.
var kubeChains = []string{"KUBE-"}

// chainsOf lists the chains of a table whose names start with one of the prefixes.
func chainsOf(save string, prefixes []string) []string {
	var out []string
	lines := bufio.NewScanner(strings.NewReader(save))
	for lines.Scan() {
		name, ok := strings.CutPrefix(lines.Text(), ":")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, " ")
		if matches(name, prefixes) {
			out = append(out, name)
		}
	}
	return out
}

// removal turns the output of `iptables-save -t table` into the input for iptables-restore that takes away every chain whose name starts
// with one of the prefixes, and every rule elsewhere that jumps to one. It is empty if there is none.
func removal(table, save string, prefixes []string) string {
	chains := chainsOf(save, prefixes)
	if len(chains) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n", table)
	// Naming a chain empties it, so that none is left with a jump to another.
	for _, c := range chains {
		fmt.Fprintf(&b, ":%s - [0:0]\n", c)
	}
	lines := bufio.NewScanner(strings.NewReader(save))
	for lines.Scan() {
		rule, ok := strings.CutPrefix(lines.Text(), "-A ")
		if !ok {
			continue
		}
		from, _, _ := strings.Cut(rule, " ")
		if !slices.Contains(chains, from) && slices.Contains(chains, target(rule)) {
			fmt.Fprintf(&b, "-D %s\n", rule)
		}
	}
	for _, c := range chains {
		fmt.Fprintf(&b, "-X %s\n", c)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// target is the chain a rule jumps or goes to.
func target(rule string) string {
	fields := strings.Fields(rule)
	for i, f := range fields {
		if (f == "-j" || f == "-g") && i+1 < len(fields) {
			return fields[i+1]
		}
	}
	return ""
}

func matches(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

package memory

import (
	"slices"

	"ebb.dev/ebb/test/bench/report"
)

// What should be reached: MiB in all, and percent of a core over Kubernetes alone.
const (
	mostMemory = 800
	mostCPU    = 3
)

func sum(parts []Part) (out Part) {
	for _, p := range parts {
		out.PSS += p.PSS
		out.CPU += p.CPU
	}
	return out
}

// Section shows what was measured on one kind of node.
func Section(name, node string, r Result) report.Section {
	s := report.Section{
		Name: name, Title: "Memory and idling on " + node,
		About: "Proportional set size of every process of the platform, and the processor time they use while nothing is asked of them; pods are not part of it. Another platform on the machine shares pages with this one and makes it look smaller. Beside it the same Kubernetes started without Ebb's processes.",
		Data:  r,
	}
	idle, loaded, alone := sum(r.Idle), sum(r.Loaded), sum(r.Alone)
	s.Targets = []report.Target{report.NewTarget("idle, all processes", idle.PSS, mostMemory, "MiB")}
	if len(r.Alone) > 0 {
		s.Targets = append(s.Targets, report.NewTarget("idle processor time over Kubernetes alone", idle.CPU-alone.CPU, mostCPU, "% of a core"))
	}
	t := report.Table{Columns: []string{"process", "MiB idle", "MiB, services at zero", "% of a core idle", "% of a core, services at zero", "MiB without Ebb", "% of a core without Ebb"}}
	add := func(name string, idle, loaded, alone Part) {
		t.Add(name, idle.PSS, loaded.PSS, idle.CPU, loaded.CPU, alone.PSS, alone.CPU)
	}
	for _, p := range r.Idle {
		add(p.Name, p, find(r.Loaded, p.Name), find(r.Alone, p.Name))
	}
	add("all", idle, loaded, alone)
	if r.AloneMissing != "" {
		t.Title = "Without Ebb: " + r.AloneMissing
	}
	s.Tables = []report.Table{t}
	s.Plots = []report.Plot{{Title: "Memory", Unit: "MiB", Bars: []report.Bar{bar("idle", r.Idle), bar("services at zero", r.Loaded), bar("without Ebb", r.Alone)}}}
	return s
}

func find(parts []Part, name string) Part {
	if i := slices.IndexFunc(parts, func(p Part) bool { return p.Name == name }); i >= 0 {
		return parts[i]
	}
	return Part{}
}

func bar(name string, parts []Part) report.Bar {
	b := report.Bar{Name: name}
	for _, p := range parts {
		b.Parts = append(b.Parts, report.Part{Name: p.Name, Value: p.PSS})
	}
	return b
}

package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Report is one run.
type Report struct {
	Machine Machine `json:"machine"`
	// Quick says that fewer repetitions were made than the figures deserve.
	Quick    bool      `json:"quick"`
	Sections []Section `json:"sections"`
}

// Section is what one benchmark found.
type Section struct {
	// Name is short and unique: it names the plot's file.
	Name  string `json:"name"`
	Title string `json:"title"`
	// About says in a few sentences what was measured, and how.
	About string `json:"about"`
	// Missing says why nothing was measured, or what is missing; empty otherwise.
	Missing string   `json:"missing,omitempty"`
	Targets []Target `json:"targets,omitempty"`
	Tables  []Table  `json:"tables,omitempty"`
	// Plots are drawn one below the other.
	Plots []Plot `json:"-"`
	// Data is everything, for programs.
	Data any `json:"data,omitempty"`
}

// Target is a figure that should be reached.
type Target struct {
	What string  `json:"what"`
	Got  float64 `json:"got"`
	// Limit is the largest that is good, or the smallest if AtLeast is set.
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"atLeast,omitempty"`
	Unit    string  `json:"unit"`
	Met     bool    `json:"met"`
}

// NewTarget compares a figure with the largest that is good.
func NewTarget(what string, got, most float64, unit string) Target {
	return Target{What: what, Got: got, Limit: most, Unit: unit, Met: got <= most}.orMissing()
}

// NewTargetAtLeast compares a figure with the smallest that is good.
func NewTargetAtLeast(what string, got, least float64, unit string) Target {
	return Target{What: what, Got: got, Limit: least, AtLeast: true, Unit: unit, Met: got >= least}.orMissing()
}

// orMissing says that a figure was not measured, where it is none: it is not met then. JSON has no word for it.
func (t Target) orMissing() Target {
	if math.IsNaN(t.Got) || math.IsInf(t.Got, 0) {
		t.What, t.Got, t.Met = t.What+" (not measured)", -1, false
	}
	return t
}

// Table is for people.
type Table struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Add appends a row: strings as they are, floats with three significant digits.
func (t *Table) Add(cells ...any) {
	row := make([]string, 0, len(cells))
	for _, cell := range cells {
		row = append(row, text(cell))
	}
	t.Rows = append(t.Rows, row)
}

func text(cell any) string {
	f, ok := cell.(float64)
	switch {
	case !ok:
		return fmt.Sprint(cell)
	case math.IsNaN(f):
		return "–"
	case math.Abs(f) >= 100:
		return fmt.Sprintf("%.0f", f)
	case math.Abs(f) >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

// Write puts the report into a folder, and makes that.
func (r Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bench.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	for _, s := range r.Sections {
		if len(s.Plots) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, s.Name+".svg"), draw(s.Plots), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "README.md"), r.markdown(), 0o644)
}

func (r Report) markdown() []byte {
	var b bytes.Buffer
	b.WriteString("# Measured\n\nWritten by `ebb-bench`: `make help` says how. Everything stands beside a peer of the same run, measured in turns with it.\n\n")
	if r.Quick {
		b.WriteString("**A quick run: too few repetitions for more than a look.**\n\n")
	}
	r.Machine.markdown(&b)
	r.targets(&b)
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", s.Title, s.About)
		switch {
		case s.Missing != "" && len(s.Tables) == 0:
			fmt.Fprintf(&b, "Not available: %s\n\n", s.Missing)
			continue
		case s.Missing != "":
			fmt.Fprintf(&b, "**Incomplete:** %s\n\n", s.Missing)
		}
		for _, t := range s.Tables {
			t.markdown(&b)
		}
		if len(s.Plots) > 0 {
			fmt.Fprintf(&b, "![%s](%s.svg)\n\n", s.Title, s.Name)
		}
	}
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

func (r Report) targets(b *bytes.Buffer) {
	t := Table{Title: "What should be reached", Columns: []string{"section", "figure", "measured", "to be", ""}}
	for _, s := range r.Sections {
		for _, target := range s.Targets {
			verdict, bound := "met", "≤ "
			if !target.Met {
				verdict = "**missed**"
			}
			if target.AtLeast {
				bound = "≥ "
			}
			t.Add(s.Title, target.What, text(target.Got)+" "+target.Unit, bound+text(target.Limit)+" "+target.Unit, verdict)
		}
	}
	if len(t.Rows) > 0 {
		t.markdown(b)
	}
}

func (t Table) markdown(b *bytes.Buffer) {
	if t.Title != "" {
		fmt.Fprintf(b, "**%s**\n\n", t.Title)
	}
	line := func(cells []string) {
		escaped := make([]string, len(cells))
		for i, cell := range cells {
			escaped[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(escaped, " | "))
	}
	line(t.Columns)
	rule := make([]string, len(t.Columns))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, row := range t.Rows {
		line(row)
	}
	b.WriteByte('\n')
}

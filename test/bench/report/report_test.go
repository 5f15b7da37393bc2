package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ebb.dev/ebb/test/bench/stats"
)

func TestAReportSaysWhatWasMissedAndWhatIsNotAvailable(t *testing.T) {
	table := Table{Title: "t", Columns: []string{"a", "b"}}
	table.Add("x|y", 12.345)
	r := Report{Machine: ThisMachine(t.Context(), "."), Quick: true, Sections: []Section{
		{Name: "one", Title: "One", About: "About one.", Tables: []Table{table}, Targets: []Target{NewTarget("p50", 40, 30, "ms"), NewTarget("p99", math.NaN(), 80, "ms"), NewTargetAtLeast("share", 0.9, 0.8, "×")},
			Plots: []Plot{{Title: "d <&>", Series: []Series{{"s", stats.Samples{1, 2, 3}}}}, {Title: "b", Bars: []Bar{{"x", []Part{{"p", 1}, {"q", 2}}}}}}},
		{Name: "two", Title: "Two", About: "About two.", Missing: "there is no light node"},
		{Name: "three", Title: "Three", About: "About three.", Missing: "the end", Tables: []Table{{Columns: []string{"c"}, Rows: [][]string{{"the beginning"}}}}},
	}}
	dir := t.TempDir()
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"40.0 ms | ≤ 30.0 ms | **missed**", "not measured", "0.90 × | ≥ 0.80 × | met", `x\|y | 12.3`, "Not available: there is no light node", "Incomplete:** the end", "| the beginning |", "](one.svg)", "quick run"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "bench.json"))
	if err != nil || json.Unmarshal(data, &Report{}) != nil {
		t.Errorf("bench.json: %v", err)
	}
	picture, err := os.Open(filepath.Join(dir, "one.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Close()
	for d := xml.NewDecoder(picture); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("one.svg: %v", err)
		}
	}
}

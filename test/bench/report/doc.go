// Package report writes what benchmarks found, for people and for programs.
//
// In: a Report. Out: bench.json, README.md and one SVG for each plot.
//
// Hard rule: it says what was measured and what should have been reached, met or not; nothing is left out.
package report

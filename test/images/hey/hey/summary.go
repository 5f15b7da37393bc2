package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	buckets  = 10
	barWidth = 40
)

// summarize prints what hey prints: totals, a histogram, percentiles, and status codes.
func summarize(w io.Writer, results []result, total time.Duration) error {
	var took []float64
	var sum float64
	var size int64
	statuses, failures := map[int]int{}, map[string]int{}
	for _, r := range results {
		if r.err != nil {
			failures[r.err.Error()]++
			continue
		}
		took = append(took, r.took.Seconds())
		sum += r.took.Seconds()
		size += r.bytes
		statuses[r.status]++
	}
	slices.Sort(took)
	var b strings.Builder
	if n := len(took); n > 0 {
		fmt.Fprintf(&b, "\nSummary:\n  Total:\t%4.4f secs\n  Slowest:\t%4.4f secs\n  Fastest:\t%4.4f secs\n  Average:\t%4.4f secs\n  Requests/sec:\t%4.4f\n",
			total.Seconds(), took[n-1], took[0], sum/float64(n), float64(len(results))/total.Seconds())
		if size > 0 {
			fmt.Fprintf(&b, "  \n  Total data:\t%d bytes\n  Size/request:\t%d bytes\n", size, size/int64(n))
		}
		b.WriteString("\nResponse time histogram:\n")
		histogram(&b, took)
		b.WriteString("\n\nLatency distribution:\n")
		for _, p := range []int{10, 25, 50, 75, 90, 95, 99} {
			fmt.Fprintf(&b, "  %d%% in %4.4f secs\n", p, took[min(n*p/100, n-1)])
		}
		b.WriteString("\nStatus code distribution:\n")
		for _, code := range slices.Sorted(maps.Keys(statuses)) {
			fmt.Fprintf(&b, "  [%d]\t%d responses\n", code, statuses[code])
		}
	}
	if len(failures) > 0 {
		b.WriteString("\nError distribution:\n")
		for _, message := range slices.Sorted(maps.Keys(failures)) {
			fmt.Fprintf(&b, "  [%d]\t%s\n", failures[message], message)
		}
	}
	b.WriteString("\n\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// histogram prints a line a bucket: its upper bound, how many, and a bar.
func histogram(b *strings.Builder, took []float64) {
	fastest, step := took[0], (took[len(took)-1]-took[0])/buckets
	counts := make([]int, buckets+1)
	for _, t := range took {
		i := 0
		for i < buckets && t > fastest+step*float64(i) {
			i++
		}
		counts[i]++
	}
	most := slices.Max(counts)
	for i, n := range counts {
		fmt.Fprintf(b, "  %4.3f [%d]\t|%s\n", fastest+step*float64(i), n, strings.Repeat("■", n*barWidth/most))
	}
}

package simulate

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WriteJSON writes the whole result.
func WriteJSON(w io.Writer, r Result) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteCSV writes the steps, one a line under a header.
func WriteCSV(w io.Writer, r Result) error {
	c := csv.NewWriter(w)
	records := [][]string{{"at", "arrived", "offered", "inflight", "waiting", "ready", "pods", "wanted", "needed", "panicking"}}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	for _, s := range r.Steps {
		records = append(records, []string{
			number(s.At), number(s.Arrived), number(s.Offered), number(s.Inflight), number(s.Waiting), number(s.Ready), number(s.Pods),
			strconv.Itoa(int(s.Wanted)), strconv.Itoa(s.Needed), strconv.FormatBool(s.Panicking),
		})
	}
	return c.WriteAll(records)
}

// The drawing area of a plot, in points.
const (
	plotWidth, plotHeight = 900., 220.
	plotLeft, plotTop     = 60., 40.
	plotGap               = 70.
)

// curve is one line of a plot.
type curve struct {
	name, style string
	value       func(Step) float64
}

// WriteSVG draws the steps as a picture: requests above, replicas below.
func WriteSVG(w io.Writer, r Result) error {
	var b strings.Builder
	width, height := plotLeft+plotWidth+20, plotTop+2*plotHeight+plotGap+50
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(&b, `<text x="%.0f" y="16">%s</text>`+"\n", plotLeft, describe(r.Policy))
	plot(&b, r, plotTop, []curve{
		{"offered", `stroke="#888"`, func(s Step) float64 { return s.Offered }},
		{"in replicas", `stroke="#1f6fb2"`, func(s Step) float64 { return s.Inflight }},
		{"waiting", `stroke="#d9722e"`, func(s Step) float64 { return s.Waiting }},
	})
	plot(&b, r, plotTop+plotHeight+plotGap, []curve{
		{"needed", `stroke="#888"`, func(s Step) float64 { return float64(s.Needed) }},
		{"wanted", `stroke="#d9722e" stroke-dasharray="4 3"`, func(s Step) float64 { return float64(s.Wanted) }},
		{"ready", `stroke="#2f8f4e"`, func(s Step) float64 { return s.Ready }},
	})
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// plot draws curves over a common pair of axes, whose upper edge is at top.
func plot(b *strings.Builder, r Result, top float64, curves []curve) {
	most := 0.
	for _, s := range r.Steps {
		for _, c := range curves {
			most = max(most, c.value(s))
		}
	}
	most = ceiling(most)
	bottom := top + plotHeight
	for quarter := range 5 {
		part := float64(quarter) / 4
		y, x := bottom-part*plotHeight, plotLeft+part*plotWidth
		fmt.Fprintf(b, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", plotLeft, plotLeft+plotWidth, y, y)
		fmt.Fprintf(b, `<text x="%.0f" y="%.1f" text-anchor="end">%.4g</text>`+"\n", plotLeft-6, y+4, part*most)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", x, bottom+16, short(part*r.Summary.Length))
	}
	for i, c := range curves {
		var points strings.Builder
		for _, s := range r.Steps {
			fmt.Fprintf(&points, "%.1f,%.1f ", plotLeft+plotWidth*s.At/max(r.Summary.Length, 1e-9), bottom-plotHeight*c.value(s)/most)
		}
		fmt.Fprintf(b, `<polyline fill="none" stroke-width="1.5" %s points="%s"/>`+"\n", c.style, strings.TrimSpace(points.String()))
		x := plotLeft + 10 + 130*float64(i)
		fmt.Fprintf(b, `<line x1="%.0f" x2="%.0f" y1="%.0f" y2="%.0f" stroke-width="2" %s/>`+"\n", x, x+24, top-8, top-8, c.style)
		fmt.Fprintf(b, `<text x="%.0f" y="%.0f">%s</text>`+"\n", x+30, top-4, c.name)
	}
}

package report

import (
	"bytes"
	"fmt"
	"html"
	"math"

	"ebb.dev/ebb/test/bench/stats"
)

// Plot is one picture: of distributions if it has Series, and else of Bars.
type Plot struct {
	Title, Unit string
	Series      []Series
	Bars        []Bar
}

// Series is one line of a plot of distributions: the share of samples up to each value.
type Series struct {
	Name    string
	Samples stats.Samples
}

// Bar is one bar, made of parts that add up.
type Bar struct {
	Name  string
	Parts []Part
}

// Part is a piece of a bar; pieces of the same name have the same colour.
type Part struct {
	Name  string
	Value float64
}

const (
	plotWidth, plotHeight   = 760, 260
	left, right, top, under = 170, 30, 34, 44
	barHeight               = 26
	legendRow               = 18
)

// colours are told apart by most eyes.
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6d31", "#999999", "#5a3d8a", "#b2182b", "#1b7837", "#444444"}

// draw makes one SVG of plots, one below the other.
func draw(plots []Plot) []byte {
	var body bytes.Buffer
	y := 0
	for _, p := range plots {
		fmt.Fprintf(&body, `<g transform="translate(0 %d)">`+"\n", y)
		if len(p.Series) > 0 {
			y += p.distributions(&body)
		} else {
			y += p.bars(&body)
		}
		body.WriteString("</g>\n")
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, y)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, y)
	out.Write(body.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// axis draws the horizontal axis and returns how wide a unit is.
func (p Plot) axis(b *bytes.Buffer, most float64, height int) float64 {
	if most <= 0 {
		most = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for most/step < 4 {
		step /= 2
	}
	scale := float64(plotWidth-left-right) / most
	fmt.Fprintf(b, `<text x="%d" y="18" font-weight="bold">%s</text>`+"\n", 10, html.EscapeString(p.Title))
	for v := 0.0; v <= most*1.0001; v += step {
		x := left + v*scale
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>`+"\n", x, top, x, height-under)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x, height-under+16, text(v))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotWidth-right, height-under+32, html.EscapeString(p.Unit))
	return scale
}

func (p Plot) distributions(b *bytes.Buffer) int {
	most := 0.0
	for _, s := range p.Series {
		if len(s.Samples) > 0 {
			most = max(most, s.Samples.Max())
		}
	}
	height := max(plotHeight, top+under+legendRow*len(p.Series))
	scale := p.axis(b, most, height)
	for i, s := range p.Series {
		colour := colours[i%len(colours)]
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, colour)
		for k := range len(s.Samples) {
			share := float64(k+1) / float64(len(s.Samples))
			fmt.Fprintf(b, "%.1f,%.1f ", left+s.Samples.Quantile(share)*scale, float64(height-under)-share*float64(height-top-under))
		}
		fmt.Fprintf(b, `"/><rect x="10" y="%d" width="12" height="12" fill="%s"/><text x="28" y="%d">%s</text>`+"\n",
			top+legendRow*i, colour, top+legendRow*i+11, html.EscapeString(s.Name))
	}
	for _, share := range []float64{0, 0.5, 1} {
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%.0f %%</text>`+"\n", left-6, float64(height-under)-share*float64(height-top-under)+4, share*100)
	}
	return height
}

func (p Plot) bars(b *bytes.Buffer) int {
	most := 0.0
	colour, legend := map[string]string{}, []string(nil)
	for _, bar := range p.Bars {
		sum := 0.0
		for _, part := range bar.Parts {
			sum += part.Value
			if _, known := colour[part.Name]; !known {
				colour[part.Name] = colours[len(legend)%len(colours)]
				legend = append(legend, part.Name)
			}
		}
		most = max(most, sum)
	}
	height := top + barHeight*len(p.Bars) + under
	scale := p.axis(b, most, height)
	for i, bar := range p.Bars {
		y, x := top+barHeight*i, float64(left)
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-6, y+17, html.EscapeString(bar.Name))
		for _, part := range bar.Parts {
			fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"><title>%s %s</title></rect>`+"\n",
				x, y+3, part.Value*scale, barHeight-6, colour[part.Name], html.EscapeString(part.Name), text(part.Value))
			x += part.Value * scale
		}
	}
	if len(legend) < 2 {
		return height
	}
	for i, name := range legend {
		x, y := 10+(i%5)*145, height+legendRow*(i/5)
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			x, y, colour[name], x+17, y+11, html.EscapeString(name))
	}
	return height + legendRow*((len(legend)+4)/5) + 10
}

package simulate

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"ebb.dev/ebb/crds/autoscaling"
)

// chartRows is the height of each of the two panels.
const chartRows = 10

// axisWidth is the room for the numbers at the left.
const axisWidth = 7

var eighths = []rune(" ▁▂▃▄▅▆▇█")

// WriteChart draws demand and replicas over time, width characters wide, and the summary below.
func WriteChart(w io.Writer, r Result, width int) error {
	columns := fold(r.Steps, max(20, width-axisWidth))
	var b strings.Builder
	b.WriteString(describe(r.Policy) + "\n\n")
	panel(&b, "requests   █ in replicas   ░ waiting", columns, func(s Step) (float64, float64) { return s.Inflight, s.Waiting })
	b.WriteByte('\n')
	panel(&b, "replicas   █ ready   ░ on the way up or down   ! panic mode", columns, func(s Step) (float64, float64) {
		return s.Ready, math.Max(s.Pods, float64(s.Wanted)) - s.Ready
	})
	marks(&b, columns)
	times(&b, len(columns), r.Summary.Length)
	b.WriteByte('\n')
	b.WriteString(r.Summary.String())
	_, err := io.WriteString(w, b.String())
	return err
}

// describe says in a line what was decided by.
func describe(p autoscaling.Policy) string {
	unit := "requests in flight"
	if p.Metric == autoscaling.RPS {
		unit = "requests/s"
	}
	limit := "no limit"
	if p.ContainerConcurrency > 0 {
		limit = fmt.Sprintf("limit %d", p.ContainerConcurrency)
	}
	line := fmt.Sprintf("target %.4g %s a replica (%s), window %v, panic window %v from %.4g×",
		p.Target, unit, limit, p.StableWindow, p.PanicWindow, p.PanicThreshold)
	if p.MinScale > 0 || p.MaxScale > 0 {
		most := "∞"
		if p.MaxScale > 0 {
			most = fmt.Sprint(p.MaxScale)
		}
		line += fmt.Sprintf(", scale %d–%s", p.MinScale, most)
	}
	return line
}

// fold makes at most width columns of the steps, each with the most of what it stands for.
func fold(steps []Step, width int) []Step {
	n := min(width, len(steps))
	columns := make([]Step, n)
	for i := range columns {
		from, to := i*len(steps)/n, (i+1)*len(steps)/n
		c := steps[from]
		for _, s := range steps[from+1 : to] {
			c.Inflight, c.Waiting = math.Max(c.Inflight, s.Inflight), math.Max(c.Waiting, s.Waiting)
			c.Ready, c.Pods = math.Max(c.Ready, s.Ready), math.Max(c.Pods, s.Pods)
			c.Wanted, c.Panicking = max(c.Wanted, s.Wanted), c.Panicking || s.Panicking
		}
		columns[i] = c
	}
	return columns
}

// panel draws one value of each column as a bar, with a second one on top of it.
func panel(b *strings.Builder, title string, columns []Step, values func(Step) (solid, shade float64)) {
	most := 0.
	for _, c := range columns {
		solid, shade := values(c)
		most = math.Max(most, solid+shade)
	}
	most = ceiling(most)
	fmt.Fprintf(b, "%*s %s\n", axisWidth-1, "", title)
	for row := chartRows - 1; row >= 0; row-- {
		label := ""
		switch row {
		case chartRows - 1:
			label = fmt.Sprintf("%.4g", most)
		case chartRows / 2:
			label = fmt.Sprintf("%.4g", most/2)
		case 0:
			label = "0"
		}
		var line strings.Builder
		fmt.Fprintf(&line, "%*s ", axisWidth-1, label)
		for _, c := range columns {
			solid, shade := values(c)
			line.WriteRune(cell(solid, shade, most*float64(row)/chartRows, most/chartRows))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// cell is what a bar shows between low and low+height.
func cell(solid, shade, low, height float64) rune {
	filled := math.Round(8 * (solid - low) / height)
	switch {
	case filled >= 8:
		return '█'
	case filled > 0:
		return eighths[int(filled)]
	case solid+shade-low >= height/2:
		return '░'
	}
	return ' '
}

// ceiling is the next larger number that an axis can carry.
func ceiling(f float64) float64 {
	if f <= 1 {
		return 1
	}
	magnitude := math.Pow(10, math.Floor(math.Log10(f)))
	for _, step := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8, 10} {
		if step*magnitude >= f {
			return step * magnitude
		}
	}
	return 10 * magnitude
}

// marks puts a sign under each column in panic mode.
func marks(b *strings.Builder, columns []Step) {
	line := strings.Repeat(" ", axisWidth)
	for _, c := range columns {
		if c.Panicking {
			line += "!"
		} else {
			line += " "
		}
	}
	if line = strings.TrimRight(line, " "); line != "" {
		b.WriteString(line + "\n")
	}
}

// times writes the axis of time: its beginning, quarters and end.
func times(b *strings.Builder, columns int, length float64) {
	line := []rune(strings.Repeat(" ", axisWidth+columns+12))
	for quarter := range 5 {
		label := []rune(short(length * float64(quarter) / 4))
		at := axisWidth + columns*quarter/4
		if quarter == 4 {
			at = axisWidth + columns - len(label)
		}
		copy(line[at:], label)
	}
	b.WriteString(strings.TrimRight(string(line), " ") + "\n")
}

// short writes seconds as people do.
func short(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.3gs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// String is the summary as lines of text.
func (s Summary) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	line("requests", "%d in %s; %.1f %% had to wait, at most %d at once", s.Requests, short(s.Length), 100*s.Waited, s.MaxWaiting)
	line("wait", "mean %s   p50 %s   p95 %s   p99 %s   max %s", milli(s.Wait.Mean), milli(s.Wait.P50), milli(s.Wait.P95), milli(s.Wait.P99), milli(s.Wait.Max))
	if s.Unanswered > 0 {
		line("", "%d were still waiting at the end", s.Unanswered)
	}
	efficiency := "nothing was needed"
	if s.NeededPodSeconds > 0 {
		efficiency = fmt.Sprintf("%.2f × the %.0f that the target needs", s.PodSeconds/s.NeededPodSeconds, s.NeededPodSeconds)
	}
	line("pod-seconds", "%.0f, %s", s.PodSeconds, efficiency)
	line("replicas", "at most %d, needed %d (overshoot %.2f ×); asleep %s", s.MaxPods, s.NeededPods, s.Overshoot, short(s.Asleep))
	line("scaling", "%d wakes, %d ups, %d downs by %d decisions", s.Wakes, s.ScaleUps, s.ScaleDowns, s.Decisions)
	return b.String()
}

func milli(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("%.3gms", seconds*1000)
	}
	return fmt.Sprintf("%.3gs", seconds)
}

package simulate

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxTraceLength bounds a trace in time; longer ones are a mistake in the unit.
const maxTraceLength = 366 * 24 * time.Hour

// Level is demand from its time until the next one.
type Level struct {
	// At is the time since the beginning of the trace.
	At time.Duration
	// Concurrency is the requests in flight that there would be if none had to wait; Rate is requests per second.
	// One of them is set, by the kind of trace.
	Concurrency float64
	Rate        float64
	// ServiceTime is how long a request takes; 0 is the setting's.
	ServiceTime time.Duration
}

// Arrival is one request.
type Arrival struct {
	At, Duration time.Duration
}

// Trace is demand over time: levels, of which the last one only marks the end, or arrivals.
type Trace struct {
	Levels   []Level
	Arrivals []Arrival
	// ByRate is true if the levels are rates and not concurrencies.
	ByRate bool
}

// End is the length of the trace.
func (t Trace) End() time.Duration {
	end := time.Duration(0)
	if n := len(t.Levels); n > 0 {
		end = t.Levels[n-1].At
	}
	for _, a := range t.Arrivals {
		end = max(end, a.At+a.Duration)
	}
	return end
}

// columns are the names that a trace may use, and what they mean.
var columns = map[string]string{
	"time": "time", "timestamp": "time", "offset": "time", "t": "time",
	"concurrency": "concurrency", "rps": "rps", "rate": "rps",
	"service_time": "service_time", "servicetime": "service_time",
	"duration": "duration",
}

// Parse reads a trace: CSV with a header line, or one JSON object a line. The columns or keys are
//
//	time, concurrency [, service_time]     levels
//	time, rps [, service_time]             levels
//	timestamp, duration                    arrivals
//
// Times are seconds, durations such as 1m30s, or RFC 3339; they count from the first. Empty lines and lines that begin with #
// are skipped. The error names the line and the remedy.
func Parse(r io.Reader) (Trace, error) {
	p := parser{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := p.line(line); err != nil {
			return Trace{}, fmt.Errorf("trace: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return Trace{}, fmt.Errorf("trace: %w", err)
	}
	trace, err := p.finish()
	if err != nil {
		return Trace{}, fmt.Errorf("trace: %w", err)
	}
	return trace, nil
}

// row is a line by the meaning of its columns.
type row map[string]string

type parser struct {
	header []string // of a CSV
	kind   string   // concurrency, rps or duration
	first  time.Time
	rows   int
	trace  Trace
}

func (p *parser) line(line []byte) error {
	if line[0] == '{' {
		r, err := jsonRow(line)
		if err != nil {
			return err
		}
		return p.row(r)
	}
	fields := strings.Split(string(line), ",")
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	if p.header == nil {
		return p.setHeader(fields)
	}
	if len(fields) != len(p.header) {
		return fmt.Errorf("%d values for %d columns (%s)", len(fields), len(p.header), strings.Join(p.header, ","))
	}
	r := row{}
	for i, name := range p.header {
		r[name] = fields[i]
	}
	return p.row(r)
}

func (p *parser) setHeader(fields []string) error {
	var header []string
	for _, f := range fields {
		name, known := columns[strings.ToLower(f)]
		if !known {
			return fmt.Errorf("%q is no column; begin a CSV with time,concurrency or time,rps (and service_time), or timestamp,duration", f)
		}
		if slices.Contains(header, name) {
			return fmt.Errorf("the column %s is there twice", name)
		}
		header = append(header, name)
	}
	p.header = header
	return nil
}

func jsonRow(line []byte) (row, error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil {
		return nil, fmt.Errorf("no JSON object: %w", err)
	}
	r := row{}
	for key, value := range values {
		name, known := columns[strings.ToLower(key)]
		if !known {
			continue // traces of other tools carry more than we need
		}
		switch value := value.(type) {
		case string:
			r[name] = value
		case json.Number:
			r[name] = value.String()
		default:
			return nil, fmt.Errorf("%s must be a number or a string", key)
		}
	}
	return r, nil
}

func (p *parser) row(r row) error {
	if p.kind == "" {
		if err := p.setKind(r); err != nil {
			return err
		}
	}
	at, err := p.time(r["time"])
	if err != nil {
		return err
	}
	p.rows++
	if p.kind == "duration" {
		duration, err := parseDuration(r["duration"])
		if err != nil {
			return fmt.Errorf("duration: %w", err)
		}
		p.trace.Arrivals = append(p.trace.Arrivals, Arrival{At: at, Duration: duration})
		return nil
	}
	value, err := strconv.ParseFloat(r[p.kind], 64)
	if err != nil || !(value >= 0) || math.IsInf(value, 0) {
		return fmt.Errorf("%s: %q must be a number from 0", p.kind, r[p.kind])
	}
	level := Level{At: at, Concurrency: value}
	if p.kind == "rps" {
		level = Level{At: at, Rate: value}
	}
	if s := r["service_time"]; s != "" {
		if level.ServiceTime, err = parseDuration(s); err != nil {
			return fmt.Errorf("service_time: %w", err)
		}
	}
	if n := len(p.trace.Levels); n > 0 && at < p.trace.Levels[n-1].At {
		return fmt.Errorf("time: %s is before the line above; sort the levels by time", r["time"])
	}
	p.trace.Levels = append(p.trace.Levels, level)
	return nil
}

func (p *parser) setKind(r row) error {
	for _, kind := range []string{"concurrency", "rps", "duration"} {
		if _, found := r[kind]; !found {
			continue
		}
		if p.kind != "" {
			return fmt.Errorf("both %s and %s; one says it all", p.kind, kind)
		}
		p.kind = kind
	}
	if p.kind == "" {
		return errors.New("nothing to replay; name concurrency, rps or duration")
	}
	p.trace.ByRate = p.kind == "rps"
	return nil
}

// time returns a time since the first one.
func (p *parser) time(s string) (time.Duration, error) {
	var at time.Duration
	if absolute, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if p.rows == 0 {
			p.first = absolute
		}
		at = absolute.Sub(p.first)
	} else {
		seconds, err := parseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("time: %w", err)
		}
		if p.rows == 0 {
			p.first = time.Time{}.Add(seconds)
		}
		at = time.Time{}.Add(seconds).Sub(p.first)
	}
	if at > maxTraceLength || at < -maxTraceLength {
		return 0, fmt.Errorf("time: %s is more than a year from the first; times are in seconds or have a unit", s)
	}
	return at, nil
}

// parseDuration reads seconds, or a duration with its unit.
func parseDuration(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if !(f >= 0) || f > 1e10 {
			return 0, fmt.Errorf("%q must be a number of seconds from 0", s)
		}
		return time.Duration(math.Round(f * float64(time.Second))), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q must be seconds, such as 1.5, or a duration, such as 200ms", s)
	}
	return d, nil
}

func (p *parser) finish() (Trace, error) {
	switch {
	case p.rows == 0:
		return Trace{}, errors.New("it is empty; see ebb autoscale simulate --help for the formats")
	case p.kind != "duration" && p.trace.End() == 0:
		return Trace{}, errors.New("it has no length: add a last line that says when it ends")
	}
	// Arrivals may be in any order, such as of their ends; they count from the first to arrive.
	slices.SortStableFunc(p.trace.Arrivals, func(a, b Arrival) int { return cmp.Compare(a.At, b.At) })
	if a := p.trace.Arrivals; len(a) > 0 {
		begin := a[0].At
		for i := range a {
			a[i].At -= begin
		}
		if end := p.trace.End(); end > maxTraceLength {
			return Trace{}, fmt.Errorf("it is %v long, more than a year; times are in seconds or have a unit", end)
		}
	}
	return p.trace, nil
}

package simulate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTracesAreReadInEveryForm(t *testing.T) {
	tests := []struct {
		name  string
		input string
		want  Trace
	}{
		{"concurrency", "time,concurrency\n0,5\n60,0\n", Trace{Levels: []Level{{Concurrency: 5}, {At: time.Minute}}}},
		{"rps with service times", "time,rps,service_time\n0s,10,50ms\n1m,0,0.1\n",
			Trace{ByRate: true, Levels: []Level{{Rate: 10, ServiceTime: 50 * time.Millisecond}, {At: time.Minute, ServiceTime: 100 * time.Millisecond}}}},
		{"columns in any order and case, comments, blanks", "# mine\n\n Concurrency , Time \n# and again\n 5 , 0 \n 0 , 1.5\n",
			Trace{Levels: []Level{{Concurrency: 5}, {At: 1500 * time.Millisecond}}}},
		{"times count from the first", "time,concurrency\n100,5\n160,0\n", Trace{Levels: []Level{{Concurrency: 5}, {At: time.Minute}}}},
		{"RFC 3339", "time,concurrency\n2026-11-21T12:00:00Z,5\n2026-11-21T13:01:00+01:00,0\n",
			Trace{Levels: []Level{{Concurrency: 5}, {At: time.Minute}}}},
		{"arrivals, sorted", "timestamp,duration\n12,0.5\n10,100ms\n", Trace{Arrivals: []Arrival{{0, 100 * time.Millisecond}, {2 * time.Second, 500 * time.Millisecond}}}},
		{"JSON lines", `{"time": 0, "concurrency": 5, "service_time": "50ms", "host": ["ignored"]}` + "\n" + `{"time": "1m", "concurrency": 0}` + "\n",
			Trace{Levels: []Level{{Concurrency: 5, ServiceTime: 50 * time.Millisecond}, {At: time.Minute}}}},
		{"JSON arrivals", `{"timestamp": 1, "duration": 0.1}`, Trace{Arrivals: []Arrival{{0, 100 * time.Millisecond}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			input := tt.input
			if tt.name == "JSON lines" {
				input = strings.Replace(input, `["ignored"]`, `"ignored"`, 1)
			}
			got, err := Parse(strings.NewReader(input))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBadTracesNameLineAndRemedy(t *testing.T) {
	tests := []struct{ input, want string }{
		{"", "trace: it is empty; see ebb autoscale simulate --help for the formats"},
		{"time,concurrency\n", "trace: it is empty; see ebb autoscale simulate --help for the formats"},
		{"time,concurrency\n0,5\n", "trace: it has no length: add a last line that says when it ends"},
		{"0,5\n60,5\n", `trace: line 1: "0" is no column; begin a CSV with time,concurrency or time,rps (and service_time), or timestamp,duration`},
		{"time,time\n", "trace: line 1: the column time is there twice"},
		{"time,service_time\n0,1\n", "trace: line 2: nothing to replay; name concurrency, rps or duration"},
		{"time,concurrency,rps\n0,1,1\n", "trace: line 2: both concurrency and rps; one says it all"},
		{"time,concurrency\n0,1\n5\n", "trace: line 3: 1 values for 2 columns (time,concurrency)"},
		{"time,concurrency\n0,many\n", `trace: line 2: concurrency: "many" must be a number from 0`},
		{"time,concurrency\n0,-1\n", `trace: line 2: concurrency: "-1" must be a number from 0`},
		{"time,concurrency\n0,NaN\n", `trace: line 2: concurrency: "NaN" must be a number from 0`},
		{"time,concurrency\nnoon,1\n", `trace: line 2: time: "noon" must be seconds, such as 1.5, or a duration, such as 200ms`},
		{"time,concurrency\n60,1\n0,1\n", "trace: line 3: time: 0 is before the line above; sort the levels by time"},
		{"time,rps,service_time\n0,1,slow\n", `trace: line 2: service_time: "slow" must be seconds, such as 1.5, or a duration, such as 200ms`},
		{"timestamp,duration\n0,-1\n", `trace: line 2: duration: "-1" must be a number of seconds from 0`},
		{"timestamp,duration\n0,1\n1700000000000,1\n", "trace: line 3: time: \"1700000000000\" must be a number of seconds from 0"},
		{"timestamp,duration\n0,1\n1700000000,1\n", "trace: line 3: time: 1700000000 is more than a year from the first; times are in seconds or have a unit"},
		{"{\"time\": 0,\n", "trace: line 1: no JSON object: unexpected EOF"},
		{`{"time": true, "concurrency": 1}`, "trace: line 1: time must be a number or a string"},
	}
	for _, tt := range tests {
		_, err := Parse(strings.NewReader(tt.input))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q:\n got %v\nwant %s", tt.input, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("time,concurrency\n0,5\n60,0\n")
	f.Add("time,rps,service_time\n0s,10,50ms\n1m,0,0.1\n")
	f.Add("timestamp,duration\n2026-11-21T12:00:00Z,0.5\n2026-11-21T12:00:01Z,100ms\n")
	f.Add(`{"time": 0, "concurrency": 5}` + "\n" + `{"time": "1m", "concurrency": 0}`)
	f.Add("time,concurrency\n9999999999,1e308\n10000000000,1e308\n")
	f.Fuzz(func(t *testing.T, input string) {
		trace, err := Parse(strings.NewReader(input))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "trace: ") {
				t.Errorf("the error does not say what it is about: %v", err)
			}
			return
		}
		if end := trace.End(); end < 0 || end > maxTraceLength {
			t.Errorf("a trace of %v", end)
		}
		last := time.Duration(0)
		for _, l := range trace.Levels {
			if l.At < last || l.Concurrency < 0 || l.Rate < 0 || l.ServiceTime < 0 {
				t.Errorf("a level %+v after %v", l, last)
			}
			last = l.At
		}
		last = 0
		for _, a := range trace.Arrivals {
			if a.At < last || a.Duration < 0 {
				t.Errorf("an arrival %+v after %v", a, last)
			}
			last = a.At
		}
		settings := DefaultSettings(resolved(nil, 10))
		settings.MaxRequests, settings.Step = 200, time.Minute
		if trace.End() > time.Hour {
			return
		}
		if r, err := Run(trace, settings); err == nil && r.Summary.Requests > 1000 {
			t.Errorf("%d requests despite the limit", r.Summary.Requests)
		}
	})
}

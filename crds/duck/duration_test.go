package duck

import (
	"strings"
	"testing"
	"time"
)

func TestDurationsAreReadAsISO8601SaysThem(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT0S": 0, "PT0.2S": 200 * time.Millisecond, "PT0,2S": 200 * time.Millisecond, "PT30M": 30 * time.Minute, "PT168H": 168 * time.Hour,
		"P1D": 24 * time.Hour, "P1DT12H": 36 * time.Hour, "P2W": 14 * 24 * time.Hour, "PT1H1M1S": time.Hour + time.Minute + time.Second,
		"P1M": 2629746 * time.Second, "P1Y": 31556952 * time.Second, "-PT1S": -time.Second, "PT0.5H": 30 * time.Minute,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestWhatIsNoDurationIsRefusedWithAnExample(t *testing.T) {
	for _, text := range []string{"", "P", "PT", "P1DT", "30m", "5s", "PT5", "1S", "PT1S ", "PT1..2S", "PT.S", "P1H", "PTM", "P999Y", "pt1s"} {
		if got, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), "write") {
			t.Errorf("%q: %v, error %v", text, got, err)
		}
	}
}

// What is written is read as it was, to the nanosecond.
func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"PT0.2S", "P1Y2M3W4DT5H6M7.8S", "-P1D", "PT", "PT1,5H", "P292Y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			if !strings.Contains(err.Error(), "write") {
				t.Errorf("%q: an error without a remedy: %v", text, err)
			}
			return
		}
		if d < 0 {
			d = -d
		}
		again, err := ParseDuration(FormatDuration(d))
		if err != nil || (again-d).Abs() > max(d/1e15, 1) { // float64 has 15 digits
			t.Errorf("%q is %v, written %s, read %v: %v", text, d, FormatDuration(d), again, err)
		}
	})
}

package duck

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// isoDuration has one group for each unit, in the order of isoUnits.
var isoDuration = regexp.MustCompile(`^([+-]?)P(?:([0-9.,]+)Y)?(?:([0-9.,]+)M)?(?:([0-9.,]+)W)?(?:([0-9.,]+)D)?(?:T(?:([0-9.,]+)H)?(?:([0-9.,]+)M)?(?:([0-9.,]+)S)?)?$`)

// isoUnits are as long as the units of isoDuration. A year is the Gregorian calendar's mean, and a month a twelfth of it.
var isoUnits = []time.Duration{
	31556952 * time.Second, 2629746 * time.Second, 7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second,
}

// ParseDuration returns how long an ISO 8601 duration such as PT0.2S, PT30M or P1DT12H is. Negative ones are parsed too.
func ParseDuration(s string) (time.Duration, error) {
	parts := isoDuration.FindStringSubmatch(s)
	if parts == nil || strings.HasSuffix(s, "T") || strings.HasSuffix(s, "P") {
		return 0, fmt.Errorf("%q is no ISO 8601 duration; write one such as \"PT0.2S\", \"PT30M\" or \"P1D\"", s)
	}
	total := 0.0
	for i, unit := range isoUnits {
		number := parts[i+2]
		if number == "" {
			continue
		}
		f, err := strconv.ParseFloat(strings.Replace(number, ",", ".", 1), 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no ISO 8601 duration: %s is no number; write one such as \"PT0.2S\", \"PT30M\" or \"P1D\"", s, number)
		}
		total += f * float64(unit)
	}
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is longer than 292 years; write a shorter duration such as \"P1D\"", s)
	}
	d := time.Duration(math.Round(total))
	if parts[1] == "-" {
		d = -d
	}
	return d, nil
}

// FormatDuration returns d as an ISO 8601 duration of hours, minutes and seconds. d is not negative.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "PT0S"
	}
	var b strings.Builder
	b.WriteString("PT")
	if h := d / time.Hour; h > 0 {
		fmt.Fprintf(&b, "%dH", h)
	}
	if m := d % time.Hour / time.Minute; m > 0 {
		fmt.Fprintf(&b, "%dM", m)
	}
	if s := d % time.Minute; s > 0 {
		b.WriteString(strconv.FormatFloat(s.Seconds(), 'f', -1, 64) + "S")
	}
	return b.String()
}

package schedule

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // zones are known where the machine has none

	"github.com/adhocore/gronx"
)

// Default is the schedule of a source that says none: every minute.
const Default = "* * * * *"

// Schedule says when something is due.
type Schedule struct {
	expression string
	zone       *time.Location
}

// Parse reads a cron expression: five fields (minute, hour, day of the month, month, day of the week), six with seconds first, or a
// macro such as @hourly. It may begin with CRON_TZ=ZONE or TZ=ZONE. A zone that is not named is UTC.
func Parse(expression, timezone string) (*Schedule, error) {
	expression = strings.TrimSpace(expression)
	for _, prefix := range []string{"CRON_TZ=", "TZ="} {
		rest, found := strings.CutPrefix(expression, prefix)
		if !found {
			continue
		}
		named, fields, _ := strings.Cut(rest, " ")
		if timezone != "" {
			return nil, fmt.Errorf("names the time zone %q itself, and so does timezone (%q); remove one of them", named, timezone)
		}
		timezone, expression = named, strings.TrimSpace(fields)
		break
	}
	zone, err := Zone(timezone)
	if err != nil {
		return nil, err
	}
	expression, err = normalized(expression)
	if err != nil {
		return nil, err
	}
	return &Schedule{expression: expression, zone: zone}, nil
}

// longNumber is no minute, hour or day: years are not part of a schedule.
var longNumber = regexp.MustCompile(`[0-9]{3}`)

// maxLength bounds an expression, in bytes: what it takes to read one grows with it.
const maxLength = 512

const remedy = `write five fields (six with seconds first) such as "*/5 * * * *", or a macro such as "@hourly"`

func normalized(expression string) (string, error) {
	if len(expression) > maxLength {
		return "", fmt.Errorf("has %d bytes, must have at most %d; %s", len(expression), maxLength, remedy)
	}
	if strings.EqualFold(expression, "@midnight") {
		return "@daily", nil
	}
	if strings.HasPrefix(expression, "@every ") {
		return "", fmt.Errorf("@every is not supported; %s", remedy)
	}
	if !strings.HasPrefix(expression, "@") {
		if n := len(strings.Fields(expression)); n != 5 && n != 6 {
			return "", fmt.Errorf("has %d fields; %s", n, remedy)
		}
	}
	if !strings.HasPrefix(expression, "@") && longNumber.MatchString(expression) || !gronx.IsValid(expression) {
		return "", fmt.Errorf("is no cron expression; %s", remedy)
	}
	return expression, nil
}

// Zone returns the time zone of that name; "" is UTC.
func Zone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("%q is whatever zone a machine is in; name one such as \"Europe/Vienna\"", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone; name one such as \"Europe/Vienna\"", name)
	}
	return zone, nil
}

// Next returns when it is due next, later than after. An expression that never comes, such as a 30th of February, is an error.
func (s *Schedule) Next(after time.Time) (time.Time, error) {
	next, err := gronx.NextTickAfter(s.expression, after.In(s.zone), false)
	if err != nil {
		return time.Time{}, fmt.Errorf("schedule %q is never due after %s: %w", s.expression, after.Format(time.RFC3339), err)
	}
	if !next.After(after) {
		return time.Time{}, fmt.Errorf("schedule %q is never due after %s", s.expression, after.Format(time.RFC3339))
	}
	return next, nil
}

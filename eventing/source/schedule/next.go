package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"
)

// Check reports what is wrong with a cron expression of five fields, or six with seconds first, and a time zone; "" is UTC.
func Check(expression, zone string) error {
	if _, err := location(zone); err != nil {
		return err
	}
	if !gronx.IsValid(expression) {
		return fmt.Errorf("schedule %q is no cron expression; write minute hour day month weekday, such as %q", expression, "*/5 * * * *")
	}
	return nil
}

// Next returns the first time after a time. Seconds are those of the expression's first of six fields, else 0.
func Next(expression, zone string, after time.Time) (time.Time, error) {
	where, err := location(zone)
	if err != nil {
		return time.Time{}, err
	}
	next, err := gronx.NextTickAfter(expression, after.In(where), false)
	if err != nil {
		return time.Time{}, fmt.Errorf("schedule %q: %w", expression, err)
	}
	if len(strings.Fields(expression)) == 5 {
		next = next.Truncate(time.Minute)
	}
	return next, nil
}

func location(zone string) (*time.Location, error) {
	if zone == "" {
		return time.UTC, nil
	}
	where, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("timezone %q is not known; write one such as Europe/Paris: %w", zone, err)
	}
	return where, nil
}

package schedule

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 4, 12, 0, 30, 0, time.UTC) // a Wednesday

func TestSchedulesAreDueWhenTheySay(t *testing.T) {
	for _, c := range []struct{ expression, zone, want string }{
		{"*/1 * * * *", "", "2026-03-04T12:01:00Z"},
		{"0 * * * *", "", "2026-03-04T13:00:00Z"},
		{"*/10 * * * * *", "", "2026-03-04T12:00:40Z"},
		{"@hourly", "", "2026-03-04T13:00:00Z"},
		{"@midnight", "", "2026-03-05T00:00:00Z"},
		{"30 9 * * MON-FRI", "", "2026-03-05T09:30:00Z"},
		{"0 9 * * *", "America/New_York", "2026-03-04T14:00:00Z"},
		{"CRON_TZ=America/New_York 0 9 * * *", "", "2026-03-04T14:00:00Z"},
		{"TZ=Asia/Tokyo 0 9 * * *", "", "2026-03-05T00:00:00Z"},
		{"0 0 29 2 *", "", "2028-02-29T00:00:00Z"},
	} {
		s, err := Parse(c.expression, c.zone)
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		next, err := s.Next(noon)
		if got := next.UTC().Format(time.RFC3339); err != nil || got != c.want {
			t.Errorf("%s in %q: %s, %v, want %s", c.expression, c.zone, got, err, c.want)
		}
	}
}

func TestWhatIsNoScheduleIsRefusedWithARemedy(t *testing.T) {
	for _, c := range []struct{ expression, zone, remedy string }{
		{"", "", "write five fields"},
		{"soon", "", "write five fields"},
		{"* * * *", "", "has 4 fields"},
		{"0 * * * * * 2026", "", "has 7 fields"},
		{"61 * * * *", "", "write five fields"},
		{"@every 5m", "", "@every is not supported"},
		{"@sometimes", "", "write five fields"},
		{"* * * * *", "Mars/Olympus", "name one such as"},
		{"* * * * *", "Local", "name one such as"},
		{"CRON_TZ=Nowhere * * * * *", "", "name one such as"},
		{"CRON_TZ=UTC * * * * *", "Europe/Vienna", "remove one of them"},
	} {
		if _, err := Parse(c.expression, c.zone); err == nil || !strings.Contains(err.Error(), c.remedy) {
			t.Errorf("%q in %q: %v, want %q", c.expression, c.zone, err, c.remedy)
		}
	}
}

// Whatever somebody writes: it is refused, or it is due later than now, or it says that it never is.
func FuzzSchedule(f *testing.F) {
	f.Add("*/5 * * * *", "")
	f.Add("0 30 9 1-7 * MON", "Europe/Vienna")
	f.Add("CRON_TZ=UTC 0 0 30 2 *", "")
	f.Add("@daily", "Asia/Tokyo")
	f.Add("0 0 L * *", "")
	f.Add("0 0 * * 5#2", "")
	f.Add("*/5 0-3 1,2 * MON", "")
	f.Add("0 0 31 2 *", "")
	f.Fuzz(func(t *testing.T, expression, zone string) {
		s, err := Parse(expression, zone)
		if err != nil {
			return
		}
		if next, err := s.Next(noon); err == nil && !next.After(noon) {
			t.Errorf("%q in %q: due %v, which is not after %v", expression, zone, next, noon)
		}
	})
}

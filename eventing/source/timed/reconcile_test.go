package timed

import "testing"

func TestWhatIsNoScheduleIsTold(t *testing.T) {
	for _, tt := range [][2]string{{"every day", ""}, {"* * *", ""}, {"* * * * *", "Mars/Olympus"}} {
		if err := readable(tt[0], tt[1]); err == nil {
			t.Errorf("%q is taken", tt)
		}
	}
	if err := readable("CRON_TZ=Europe/Paris 0 9 * * *", ""); err != nil {
		t.Errorf("what admission takes is refused: %v", err)
	}
}

package change

import "testing"

func TestEachScaleHasItsRow(t *testing.T) {
	s := Section("change-kubelet", []Result{{Services: 10, InForce: []float64{1, 2, 3}}, {Services: 1000, InForce: []float64{4}}})
	if rows := s.Tables[0].Rows; len(rows) != 2 || rows[0][2] != "2.00" || rows[1][0] != "1000" {
		t.Errorf("%v", rows)
	}
	if s := Section("change-kubelet", nil); s.Missing == "" {
		t.Error("nothing was measured, and it does not say so")
	}
}

package memory

import "testing"

func TestIdlingIsComparedWithKubernetesAlone(t *testing.T) {
	kubernetes, gateway := Part{Name: "kubernetes", PSS: 300, CPU: 2}, Part{Name: "gateway", PSS: 600, CPU: 4}
	s := Section("memory-kubelet", "a kubelet", Result{Idle: []Part{kubernetes, gateway}, Alone: []Part{kubernetes}})
	if len(s.Targets) != 2 || s.Targets[0].Got != 900 || s.Targets[0].Met || s.Targets[1].Got != 4 || s.Targets[1].Met {
		t.Errorf("%+v", s.Targets)
	}
	if rows := s.Tables[0].Rows; len(rows) != 3 || rows[2][1] != "900" {
		t.Errorf("%v", rows)
	}
	if s := Section("memory-light", "the light node", Result{Idle: []Part{gateway}, AloneMissing: "why"}); len(s.Targets) != 1 {
		t.Errorf("%+v", s.Targets)
	}
}

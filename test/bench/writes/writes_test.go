package writes

import "testing"

func TestOnlyWhatChangesSomethingIsCounted(t *testing.T) {
	got, err := parse(`# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="pods",subresource="status",verb="PATCH"} 3
apiserver_request_total{code="409",resource="pods",subresource="status",verb="PATCH"} 1
apiserver_request_total{code="200",resource="pods",verb="WATCH"} 9
`, "apiserver_request_total")
	if err != nil || len(got) != 1 || got[kind{"PATCH", "pods/status"}] != 4 {
		t.Errorf("%v %v", got, err)
	}
}

func TestEventsAreNotHeldAgainstAService(t *testing.T) {
	s := Section("writes", Result{Services: 2, Ebb: difference(map[kind]float64{{"POST", "pods"}: 1}, map[kind]float64{{"POST", "pods"}: 5, {"POST", "events"}: 40}, 2)})
	if got := s.Targets[0]; got.Got != 2 || !got.Met {
		t.Errorf("%+v", got)
	}
}

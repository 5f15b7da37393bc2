package filter_test

import (
	"encoding/json"
	"testing"

	"ebb.dev/ebb/eventing/filter"
)

// FuzzCompile holds that no spec makes compiling or matching panic, and that a set of one agrees with its filter.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"filter": {"attributes": {"type": ""}}}`, `{"filters": [{"not": {}}, {"any": [{}]}]}`,
		`{"filters": [{"all": [{"exact": {"type": "com.github.push"}}, {"any": [{"exact": {"region": "eu"}}, {"exact": {"region": "us"}}]}]}]}`,
		`{"filters": [{"cesql": "hop IN ('05', 5) AND region = 'eu' OR urgent"}]}`, `{"filters": [{"cesql": "\u0000"}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		var spec filter.Spec
		if json.Unmarshal([]byte(source), &spec) != nil {
			return
		}
		compiled, err := filter.Compile(spec)
		if err != nil {
			return
		}
		e := push()
		matched := 0
		filter.NewSet(map[id]filter.Filter{"one": compiled}).Match(e, func(id) { matched++ })
		if pass := compiled.Pass(e); pass != (matched == 1) || matched > 1 {
			t.Fatalf("%s passes: %t, and the set reports it %d times", source, pass, matched)
		}
	})
}

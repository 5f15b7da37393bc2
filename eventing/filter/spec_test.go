package filter_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/filter"
)

func push() *event.Event {
	e := event.New()
	e.SetID("A234-1234-1234")
	e.SetType("com.github.push")
	e.SetSource("https://github.com/cloudevents/spec")
	e.SetSubject("https://github.com/cloudevents/spec/pull/123")
	e.SetTime(time.Date(2018, 4, 26, 14, 48, 9, 500_000_000, time.FixedZone("", 2*3600)))
	e.SetDataSchema("https://example.com/schema#1")
	if err := e.SetData("application/json; charset=utf-8", []byte(`{"data":"x"}`)); err != nil {
		panic(err)
	}
	e.SetExtension("region", "eu")
	e.SetExtension("hop", 5)
	e.SetExtension("urgent", true)
	e.SetExtension("data", "hidden")
	return &e
}

func compile(t testing.TB, spec string) filter.Filter {
	t.Helper()
	var s filter.Spec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		t.Fatal(err)
	}
	f, err := filter.Compile(s)
	if err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	return f
}

// The rules are those of the Subscriptions API, section 3.2.4, and its examples.
func TestDialectsOfTheSubscriptionsAPI(t *testing.T) {
	for spec, want := range map[string]bool{
		`{}`:                true,
		`{"filters": []}`:   true,
		`{"filters": [{}]}`: true,
		`{"filters": [{"exact": {"type": "com.github.push", "subject": "https://github.com/cloudevents/spec/pull/123"}}]}`: true,
		`{"filters": [{"exact": {"type": "com.github.push", "subject": "https://github.com/cloudevents/spec"}}]}`:          false,
		`{"filters": [{"exact": {"type": "com.GitHub.push"}}]}`:                                                            false,
		`{"filters": [{"exact": {"nosuch": "x"}}]}`:                                                                        false,
		`{"filters": [{"prefix": {"type": "com.github.", "subject": "https://github.com/cloudevents"}}]}`:                  true,
		`{"filters": [{"prefix": {"type": "com.github.", "subject": "https://gitlab.com/"}}]}`:                             false,
		`{"filters": [{"prefix": {"nosuch": "x"}}]}`:                                                                       false,
		`{"filters": [{"suffix": {"type": ".push", "subject": "/123"}}]}`:                                                  true,
		`{"filters": [{"suffix": {"type": ".Push"}}]}`:                                                                     false,
		`{"filters": [{"all": [{"exact": {"type": "com.github.push"}}, {"exact": {"id": "A234-1234-1234"}}]}]}`:            true,
		`{"filters": [{"all": [{"exact": {"type": "com.github.push"}}, {"exact": {"id": "x"}}]}]}`:                         false,
		`{"filters": [{"any": [{"exact": {"type": "com.github.push"}}, {"exact": {"id": "x"}}]}]}`:                         true,
		`{"filters": [{"any": [{"exact": {"type": "x"}}, {"exact": {"id": "x"}}]}]}`:                                       false,
		`{"filters": [{"any": [{"exact": {"type": "x"}}, {}]}]}`:                                                           true,
		`{"filters": [{"not": {"exact": {"type": "com.github.push"}}}]}`:                                                   false,
		`{"filters": [{"not": {"exact": {"type": "x"}}}]}`:                                                                 true,
		`{"filters": [{"not": {"exact": {"nosuch": "x"}}}]}`:                                                               true,
		`{"filters": [{"not": {}}]}`:                                                                                       true,
		`{"filters": [{"cesql": "source LIKE '%cloudevents%'"}]}`:                                                          true,
		`{"filters": [{"cesql": "nosuch = 'x'"}]}`:                                                                         false,
		`{"filters": [{"cesql": "hop"}]}`:                                                                                  false,
		`{"filters": [{"cesql": "urgent"}]}`:                                                                               true,
		`{"filters": [{"exact": {"region": "eu"}}, {"prefix": {"source": "https:"}}]}`:                                     true,
		`{"filters": [{"exact": {"region": "eu"}}, {"prefix": {"source": "http:"}}]}`:                                      false,
	} {
		if got := compile(t, spec).Pass(push()); got != want {
			t.Errorf("%s: %t, want %t", spec, got, want)
		}
	}
}

func TestTheOlderAttributesFilter(t *testing.T) {
	for spec, want := range map[string]bool{
		`{"filter": {}}`:                 true,
		`{"filter": {"attributes": {}}}`: true,
		`{"filter": {"attributes": {"type": "com.github.push", "region": "eu"}}}`:                               true,
		`{"filter": {"attributes": {"type": "com.github.push", "region": "us"}}}`:                               false,
		`{"filter": {"attributes": {"type": "com.github"}}}`:                                                    false,
		`{"filter": {"attributes": {"type": "", "region": ""}}}`:                                                true,
		`{"filter": {"attributes": {"nosuch": ""}}}`:                                                            false,
		`{"filter": {"attributes": {"nosuch": "x"}}}`:                                                           false,
		`{"filter": {"attributes": {"type": "x"}}, "filters": [{"exact": {"type": "com.github.push"}}]}`:        true,
		`{"filter": {"attributes": {"type": "com.github.push"}}, "filters": [{"exact": {"type": "x"}}]}`:        false,
		`{"filter": {"attributes": {"type": "com.github.push"}}, "filters": [], "broker": "default"}`:           true,
		`{"filter": {"attributes": {"schemaurl": "https://example.com/schema#1"}}}`:                             true,
		`{"filter": {"attributes": {"datamediatype": "application/json"}}}`:                                     true,
		`{"filter": {"attributes": {"datamediatype": "text/plain"}}}`:                                           false,
		`{"filter": {"attributes": {"datacontenttype": "application/json; charset=utf-8", "specversion": ""}}}`: true,
	} {
		if got := compile(t, spec).Pass(push()); got != want {
			t.Errorf("%s: %t, want %t", spec, got, want)
		}
	}
	bare := event.New()
	bare.SetID("1")
	for _, name := range []string{"subject", "time", "dataschema", "datacontenttype", "type"} {
		if compile(t, `{"filter": {"attributes": {"`+name+`": ""}}}`).Pass(&bare) {
			t.Errorf("an event without %s passes a filter that asks for it", name)
		}
	}
}

func TestAttributesAreComparedByTheirCanonicalText(t *testing.T) {
	for name, want := range map[string]string{
		"specversion": "1.0", "id": "A234-1234-1234", "time": "2018-04-26T14:48:09.5+02:00", "source": "https://github.com/cloudevents/spec",
		"dataschema": "https://example.com/schema#1", "hop": "5", "urgent": "true", "region": "eu",
	} {
		if !compile(t, `{"filters": [{"exact": {"`+name+`": "`+want+`"}}]}`).Pass(push()) {
			t.Errorf("%s is not %s", name, want)
		}
	}
	for _, spec := range []string{`{"filters": [{"exact": {"data": "hidden"}}]}`, `{"filters": [{"cesql": "EXISTS data"}]}`, `{"filter": {"attributes": {"data": ""}}}`} {
		if compile(t, spec).Pass(push()) {
			t.Errorf("%s: the data is read", spec)
		}
	}
}

func TestAWrongFilterSaysWhereItIsWrong(t *testing.T) {
	for spec, want := range map[string]string{
		`{"filters": [{}, {"all": [{"cesql": "type = "}]}]}`: `filters[1].all[0].cesql: line 1, column 8: expected an attribute, a literal, a function, NOT, EXISTS, "-" or "(", found the end of the expression`,
		`{"filters": [{"not": {"cesql": "FOO(1)"}}]}`:        `filters[0].not.cesql: line 1, column 1: there is no function FOO`,
		`{"filters": [{"any": [{"cesql": "LENGTH(id)"}]}]}`:  `filters[0].any[0].cesql: line 1, column 1: a filter is to be a Boolean, and this is always of type Integer`,
		`{"filters": [{"exact": {"type": ""}}]}`:             `filters[0].exact: the value of type is empty`,
		`{"filters": [{"prefix": {"Type": "x"}}]}`:           `filters[0].prefix: "Type" is no attribute's name: it is to begin with a lower-case letter, and to have only those and digits`,
		`{"filters": [{"suffix": {"": "x"}}]}`:               `filters[0].suffix: "" is no attribute's name: it is to begin with a lower-case letter, and to have only those and digits`,
		`{"filter": {"attributes": {"a-b": ""}}}`:            `filter.attributes: "a-b" is no attribute's name: it is to begin with a lower-case letter, and to have only those and digits`,
		`{"filters": [{"exact": {"a": "b"}, "cesql": "a"}]}`: `filters[0]: has exact and cesql: a filter has one dialect; put each in a filter of its own`,
		`{"filters": [{"exact": {"a": ""}}, {"cesql": "("}]}`: "filters[0].exact: the value of a is empty\n" +
			`filters[1].cesql: line 1, column 2: expected an attribute, a literal, a function, NOT, EXISTS, "-" or "(", found the end of the expression`,
	} {
		var s filter.Spec
		if err := json.Unmarshal([]byte(spec), &s); err != nil {
			t.Fatal(err)
		}
		if _, err := filter.Compile(s); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", spec, err, want)
		}
	}
	deep := filter.Dialect{CESQL: "urgent"}
	for range filter.MaxNesting + 1 {
		deep = filter.Dialect{Not: &filter.Dialect{All: []filter.Dialect{deep}}}
	}
	if _, err := filter.Compile(filter.Spec{Filters: []filter.Dialect{deep}}); err == nil || !strings.Contains(err.Error(), "nested more than") {
		t.Errorf("a filter nested without end: %v", err)
	}
}

func TestAnEventThatIsNoneFailsFiltersAndPanicsNothing(t *testing.T) {
	for _, spec := range []string{`{"filters": [{"exact": {"type": "x"}}]}`, `{"filters": [{"cesql": "EXISTS id"}]}`} {
		if f := compile(t, spec); f.Pass(nil) || f.Pass(&event.Event{}) {
			t.Errorf("%s passes", spec)
		}
	}
}

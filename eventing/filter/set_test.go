package filter_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/filter"
)

type id string

// Few names and values, so that random filters and events meet.
var (
	someNames  = []string{"type", "source", "subject", "region", "hop", "id"}
	someValues = []string{"a", "b", "ab", "1", "01", "true", "a%"}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func randomEvent(r *rand.Rand) *event.Event {
	e := event.New()
	e.SetID(pick(r, someValues))
	e.SetType(pick(r, someValues))
	e.SetSource(pick(r, []string{"a", "b", "ab", "1"}))
	if r.IntN(2) == 0 {
		e.SetSubject(pick(r, someValues))
	}
	if r.IntN(2) == 0 {
		e.SetExtension("region", pick(r, []any{"a", "b", 1, true, "01"}))
	}
	if r.IntN(2) == 0 {
		e.SetExtension("hop", r.IntN(3))
	}
	return &e
}

func randomExpression(r *rand.Rand, depth int) string {
	name, value := pick(r, someNames), pick(r, someValues)
	if depth == 0 {
		return pick(r, []string{
			name + " = '" + value + "'", name + " != '" + value + "'", name + " LIKE '" + value + "'", "EXISTS " + name,
			name + " IN ('" + value + "', '" + pick(r, someValues) + "')", name + " NOT IN ('" + value + "')", name + " = 1",
			"'" + value + "' = " + name, name + " IN (1, 'a')", name + " < 2", name, "TRUE", name + " = " + pick(r, someNames),
		})
	}
	return "(" + randomExpression(r, depth-1) + ") " + pick(r, []string{"AND", "OR", "AND", "OR", "XOR"}) + " (" + randomExpression(r, r.IntN(depth)) + ")"
}

func randomDialect(r *rand.Rand, depth int) filter.Dialect {
	values := map[string]string{pick(r, someNames): pick(r, someValues)}
	if r.IntN(3) == 0 {
		values[pick(r, someNames)] = pick(r, someValues)
	}
	several := func() []filter.Dialect {
		list := []filter.Dialect{randomDialect(r, depth-1)}
		for r.IntN(3) > 0 {
			list = append(list, randomDialect(r, depth-1))
		}
		return list
	}
	choice := r.IntN(9)
	if depth == 0 {
		choice = r.IntN(6)
	}
	switch choice {
	case 0, 1, 2:
		return filter.Dialect{Exact: values}
	case 3:
		return pick(r, []filter.Dialect{{Prefix: values}, {Suffix: values}, {}})
	case 4, 5:
		return filter.Dialect{CESQL: randomExpression(r, r.IntN(4))}
	case 6:
		return filter.Dialect{All: several()}
	case 7:
		return filter.Dialect{Any: several()}
	default:
		inner := randomDialect(r, depth-1)
		return filter.Dialect{Not: &inner}
	}
}

func randomFilter(t testing.TB, r *rand.Rand, compiler *filter.Compiler) filter.Filter {
	spec := filter.Spec{}
	switch r.IntN(12) {
	case 0:
		spec.Filter = &filter.AttributesFilter{Attributes: map[string]string{pick(r, someNames): pick(r, append(someValues, ""))}}
	case 1:
		return nil
	case 2:
		return foreign{pick(r, someValues)}
	default:
		spec.Filters = append(spec.Filters, randomDialect(r, 2))
		if r.IntN(2) == 0 {
			spec.Filters = append(spec.Filters, randomDialect(r, 1))
		}
	}
	f, err := compiler.Compile(spec)
	if err != nil {
		t.Fatalf("%+v: %v", spec, err)
	}
	return f
}

// foreign is a filter that is none of the package's.
type foreign struct{ typ string }

func (f foreign) Pass(e *event.Event) bool { return e.Type() == f.typ }

func matches(set *filter.Set[id], e *event.Event) []id {
	var got []id
	set.Match(e, func(i id) { got = append(got, i) })
	slices.Sort(got)
	return got
}

func alone(filters map[id]filter.Filter, e *event.Event) []id {
	var want []id
	for i, f := range filters {
		if f == nil || f.Pass(e) {
			want = append(want, i)
		}
	}
	slices.Sort(want)
	return want
}

func TestASetMatchesWhatEachFilterPassesAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var compiler filter.Compiler
	passed := 0
	for range 60 {
		filters := map[id]filter.Filter{}
		for i := range r.IntN(60) {
			filters[id(fmt.Sprint("trigger-", i))] = randomFilter(t, r, &compiler)
		}
		set := filter.NewSet(filters)
		for range 40 {
			e := randomEvent(r)
			got, want := matches(set, e), alone(filters, e)
			if !slices.Equal(got, want) {
				t.Fatalf("%v\nthe set matches %v, each alone %v", e, got, want)
			}
			passed += len(got)
		}
	}
	if passed == 0 {
		t.Error("nothing ever passed")
	}
}

func TestASetThatGrowsAndShrinksMatchesTheSameAndLeavesTheOldOneAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var compiler filter.Compiler
	filters := map[id]filter.Filter{}
	set := &filter.Set[id]{}
	events := make([]*event.Event, 20)
	for i := range events {
		events[i] = randomEvent(r)
	}
	for range 1500 {
		before := make([][]id, len(events))
		for i, e := range events {
			before[i] = matches(set, e)
		}
		old, name := set, id(fmt.Sprint("trigger-", r.IntN(40)))
		if r.IntN(3) == 0 {
			delete(filters, name)
			set = set.Without(name)
		} else {
			f := randomFilter(t, r, &compiler)
			filters[name] = f
			set = set.With(name, f)
		}
		if set.Len() != len(filters) {
			t.Fatalf("the set has %d filters, want %d", set.Len(), len(filters))
		}
		for i, e := range events {
			if got, want := matches(set, e), alone(filters, e); !slices.Equal(got, want) {
				t.Fatalf("%v\nthe set matches %v, each alone %v", e, got, want)
			}
			if got := matches(old, e); !slices.Equal(got, before[i]) {
				t.Fatalf("the old set changed: %v, was %v", got, before[i])
			}
		}
	}
	for name := range filters {
		set = set.Without(name)
	}
	if set.Len() != 0 || !filter.IsBare(set) {
		t.Error("an emptied set keeps something")
	}
}

func TestWhatCannotPassIsNotEvaluated(t *testing.T) {
	filters := map[id]filter.Filter{}
	for i := range 1000 {
		spec := fmt.Sprintf(`{"filters": [{"exact": {"type": "order"}}, {"cesql": "source IN ('/till/%d', '/shop/%d') AND region = 'eu'"}]}`, i, i)
		filters[id(fmt.Sprint(i))] = compile(t, spec)
	}
	e := event.New()
	e.SetID("1")
	e.SetType("order")
	e.SetSource("/till/7")
	e.SetExtension("region", "eu")
	set := filter.NewSet(filters)
	if got := matches(set, &e); !slices.Equal(got, []id{"7"}) {
		t.Errorf("matches %v", got)
	}
	// Each has the type in common, and a source of its own: by the latter it must be found.
	if n := filter.Candidates(set, &e); n != 1 {
		t.Errorf("%d filters are evaluated, want 1", n)
	}
}

func TestTheSameFilterIsEvaluatedOnce(t *testing.T) {
	set := &filter.Set[id]{}
	for i := range 100 {
		spec := `{"filters": [{"cesql": "source LIKE '/till/%' and EXISTS region"}]}`
		if i%2 == 0 {
			spec = `{"filters": [{"all": [{"cesql": "(source  like '/till/%') AND exists region"}]}]}`
		}
		set = set.With(id(fmt.Sprint(i)), compile(t, spec))
	}
	e := event.New()
	e.SetSource("/till/7")
	e.SetExtension("region", "eu")
	if n := filter.Candidates(set, &e); n != 1 {
		t.Errorf("%d filters are evaluated, want 1", n)
	}
	if got := len(matches(set, &e)); got != 100 {
		t.Errorf("%d match, want 100", got)
	}
}

func TestACompilerSharesExpressionsInUse(t *testing.T) {
	var compiler filter.Compiler
	kept := make([]filter.Filter, 0, 2)
	for _, region := range []string{"eu", "us"} {
		f, err := compiler.Compile(filter.Spec{Filters: []filter.Dialect{{Exact: map[string]string{"region": region}}, {CESQL: "source LIKE '/till/%'"}}})
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, f)
	}
	if !filter.ShareAProgram(kept[0], kept[1]) {
		t.Error("the same expression is compiled twice")
	}
	for i := range 10_000 {
		if _, err := compiler.Compile(filter.Spec{Filters: []filter.Dialect{{CESQL: fmt.Sprintf("hop = %d", i)}}}); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			collectGarbage()
		}
	}
	collectGarbage()
	if n := filter.Remembered(&compiler); n > 5000 {
		t.Errorf("%d expressions are remembered that nobody uses", n)
	}
}

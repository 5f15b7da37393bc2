package filter_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/filter"
)

func collectGarbage() {
	// Twice, so that what finalizers and cleanups let go is gone too.
	runtime.GC()
	runtime.GC()
}

// shapes are filters of which the i-th alone passes what orderFrom(i) makes.
var shapes = []struct {
	name string
	spec func(i int) filter.Spec
}{
	{"exact", func(i int) filter.Spec {
		return filter.Spec{Filter: &filter.AttributesFilter{Attributes: map[string]string{
			"type": "com.example.order.created", "source": fmt.Sprintf("/shop/till/%d", i),
		}}}
	}},
	{"cesql-equal", func(i int) filter.Spec {
		return filter.Spec{Filters: []filter.Dialect{{CESQL: fmt.Sprintf(
			"type = 'com.example.order.created' AND source = '/shop/till/%d' AND region IN ('eu', 'us')", i)}}}
	}},
	{"suffix", func(i int) filter.Spec {
		return filter.Spec{Filters: []filter.Dialect{{Suffix: map[string]string{"source": fmt.Sprintf("/%d", i)}}}}
	}},
	{"cesql-like", func(i int) filter.Spec {
		return filter.Spec{Filters: []filter.Dialect{{CESQL: fmt.Sprintf(
			"type LIKE 'com.example.%%' AND source LIKE '%%/till/%d' AND INT(hop) < 10 AND region IN ('eu', 'us')", i)}}}
	}},
}

func orderFrom(i int) *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType("com.example.order.created")
	e.SetSource(fmt.Sprintf("/shop/till/%d", i))
	e.SetExtension("region", "eu")
	e.SetExtension("hop", "3")
	return &e
}

func setOf(b testing.TB, n int, spec func(int) filter.Spec) *filter.Set[id] {
	var compiler filter.Compiler
	filters := map[id]filter.Filter{}
	for i := range n {
		f, err := compiler.Compile(spec(i))
		if err != nil {
			b.Fatal(err)
		}
		filters[id(fmt.Sprintf("default/trigger-%d", i))] = f
	}
	return filter.NewSet(filters)
}

// BenchmarkMatch matches an event against filters of which one passes. checks/s counts every filter for every event.
func BenchmarkMatch(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range []int{1, 10, 1000} {
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				set, e := setOf(b, n, shape.spec), orderFrom(n/2)
				matched := 0
				b.ReportAllocs()
				for b.Loop() {
					set.Match(e, func(id) { matched++ })
				}
				if matched != b.N {
					b.Fatalf("%d matched of %d", matched, b.N)
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "checks/s")
			})
		}
	}
}

func BenchmarkPass(b *testing.B) {
	for _, shape := range shapes {
		b.Run(shape.name, func(b *testing.B) {
			f, err := filter.Compile(shape.spec(1))
			if err != nil {
				b.Fatal(err)
			}
			e := orderFrom(1)
			b.ReportAllocs()
			for b.Loop() {
				f.Pass(e)
			}
		})
	}
}

func BenchmarkWith(b *testing.B) {
	for _, shape := range shapes {
		set := setOf(b, 1000, shape.spec)
		f, err := filter.Compile(shape.spec(1000))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(shape.name+"/1000", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.With("default/another", f)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, shape := range shapes {
		b.Run(shape.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := filter.Compile(shape.spec(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// mostBytes is what an idle filter may take at most, its place in the set included.
const mostBytes = 20 << 10

func TestAnIdleFilterIsSmall(t *testing.T) {
	const n = 1000
	for _, shape := range shapes {
		var before, after runtime.MemStats
		collectGarbage()
		runtime.ReadMemStats(&before)
		set := setOf(t, n, shape.spec)
		collectGarbage()
		runtime.ReadMemStats(&after)
		each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
		t.Logf("%s: %d bytes", shape.name, each)
		if each > mostBytes {
			t.Errorf("a filter of shape %s takes %d bytes, want at most %d", shape.name, each, mostBytes)
		}
		runtime.KeepAlive(set)
	}
}

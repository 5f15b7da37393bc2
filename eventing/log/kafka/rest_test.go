package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTheRestOfAPageIsForWhoGoesOnThere(t *testing.T) {
	var got page
	for _, offset := range []int64{10, 11, 13, 14} { // 12 is a transaction's mark
		got.records = append(got.records, &kgo.Record{Offset: offset})
	}
	got.next, got.end = 15, 100
	for _, c := range []struct {
		name         string
		from, offset int64
		first        int64 // of the records; 0: there is no rest
	}{
		{"where it was left", 11, 11, 11},
		{"further on", 11, 12, 13},
		{"all that is left was not for us", 14, 14, 14},
		{"before it", 11, 10, 0},
		{"past it", 11, 15, 0},
		{"nothing was left", 15, 15, 0},
	} {
		var l Log
		var r rest
		r.put(&l, c.from, got)
		p, has := r.take(&l, c.offset)
		if has != (c.first > 0) || has && (p.records[0].Offset != c.first || p.next != 15 || p.end != 100) {
			t.Errorf("%s: %v %+v", c.name, has, p)
		}
		if _, again := r.take(&l, c.offset); again || l.resting.Load() != 0 {
			t.Errorf("%s: it is there after it was taken, of %d", c.name, l.resting.Load())
		}
	}
}

func TestOnlySoManyPartitionsHaveARest(t *testing.T) {
	got := page{records: []*kgo.Record{{Offset: 1}}, next: 2}
	var l Log
	rests := make([]rest, restMost+1)
	for i := range rests {
		rests[i].put(&l, 1, got)
		rests[i].put(&l, 1, got) // in place of the one before
	}
	if _, has := rests[restMost].take(&l, 1); has {
		t.Error("one too many")
	}
	for i := range restMost {
		if _, has := rests[i].take(&l, 1); !has {
			t.Error("none for partition", i)
		}
	}
}

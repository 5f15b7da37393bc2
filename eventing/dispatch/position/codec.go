package position

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"ebb.dev/ebb/eventing/log"
)

// version begins every encoded state; unbegun is that of states that do not say where their reader began.
const (
	version = 2
	unbegun = 1
)

// most bounds what one state may hold open, so that a broken one cannot ask for all memory.
const most = 1 << 20

// ErrState says that a kept state cannot be read.
var ErrState = errors.New("the reader's state is malformed")

// Encode appends a state: a version, Began, Scanned, then the open positions in two kinds of groups. A run is positions next to each other that
// were never tried: distance from the one before, 2·length. A single is distance, 2·stage+1, failed attempts, due (milliseconds since 1970,
// zero is at once) and Ref. All are unsigned varints.
func (s State) Encode(b []byte) []byte {
	b = append(b, version)
	b = binary.AppendUvarint(b, uint64(s.Began))
	b = binary.AppendUvarint(b, uint64(s.Scanned))
	last := log.Position(0)
	for i := 0; i < len(s.Items); {
		it := s.Items[i]
		b = binary.AppendUvarint(b, uint64(it.Position-last))
		if n := run(s.Items[i:]); n > 0 {
			b = binary.AppendUvarint(b, uint64(n)<<1)
			last = s.Items[i+n-1].Position
			i += n
			continue
		}
		b = binary.AppendUvarint(b, uint64(it.Stage)<<1|1)
		b = binary.AppendUvarint(b, uint64(it.Failed))
		b = binary.AppendUvarint(b, milliseconds(it.Due))
		b = binary.AppendUvarint(b, uint64(it.Ref))
		last = it.Position
		i++
	}
	return b
}

// run is how many items at the beginning are untried and next to each other.
func run(items []Item) int {
	n := 0
	for n < len(items) && items[n] == (Item{Position: items[0].Position + log.Position(n)}) {
		n++
	}
	return n
}

func milliseconds(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	// Rounded up: a retry is never earlier than it was to be, and never at once.
	return uint64(max(t.Add(time.Millisecond-1).UnixMilli(), 1))
}

// Decode reads what Encode wrote.
func Decode(b []byte) (State, error) {
	if len(b) == 0 || b[0] != version && b[0] != unbegun {
		return State{}, fmt.Errorf("%w: unknown version", ErrState)
	}
	d := decoder{rest: b[1:]}
	var s State
	if b[0] == version {
		s.Began = log.Position(d.next())
	}
	s.Scanned = log.Position(d.next())
	last := log.Position(0)
	for d.err == nil && len(d.rest) > 0 {
		step := d.next()
		kind := d.next()
		if step == 0 || step > math.MaxUint64-uint64(last) {
			return State{}, fmt.Errorf("%w: positions do not grow", ErrState)
		}
		last += log.Position(step)
		if kind&1 == 1 {
			s.Items = append(s.Items, d.single(last, kind>>1))
			continue
		}
		n := kind >> 1
		if n == 0 || n > most-uint64(len(s.Items)) || n-1 > math.MaxUint64-uint64(last) {
			return State{}, fmt.Errorf("%w: a run of %d positions", ErrState, n)
		}
		for i := range n {
			s.Items = append(s.Items, Item{Position: last + log.Position(i)})
		}
		last += log.Position(n - 1)
	}
	switch {
	case d.err != nil:
		return State{}, d.err
	case last > s.Scanned:
		return State{}, fmt.Errorf("%w: position %d is open but was not looked at", ErrState, last)
	}
	return s, nil
}

// decoder reads varints and remembers the first failure.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) next() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail("it ends too early")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) single(p log.Position, stage uint64) Item {
	failed, at, ref := d.next(), d.next(), d.next()
	if stage >= uint64(stages) || failed > math.MaxInt32 || at > math.MaxInt64 {
		d.fail("a value is out of range")
		return Item{}
	}
	it := Item{Position: p, Stage: Stage(stage), Failed: int(failed), Ref: log.Position(ref)}
	if at > 0 {
		it.Due = time.UnixMilli(int64(at)).UTC()
	}
	return it
}

func (d *decoder) fail(why string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrState, why)
	}
	d.rest = nil
}

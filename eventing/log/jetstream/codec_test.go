package jetstream

import (
	"bytes"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/log/logtest"
)

// FuzzDecodeCommit: what is on disk may be damaged; that is an error and never a panic, and what is read is written again as it was.
func FuzzDecodeCommit(f *testing.F) {
	e := logtest.Event("/s", "1", 10)
	e.SetExtension("number", 1)
	e.SetTime(time.Unix(1, 2))
	b, err := encodeEvent(nil, e)
	if err != nil {
		f.Fatal(err)
	}
	c := &commit{first: 7, offset: 9, stored: time.Unix(3, 4), events: [][]byte{b, b}, size: uint64(2 * len(b))}
	f.Add(c.encode())
	f.Add((&commit{first: 1}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCommit(1, b)
		if err != nil {
			return
		}
		again, err := decodeCommit(1, c.encode())
		if err != nil || !bytes.Equal(again.encode(), c.encode()) {
			t.Fatal("it is not what it was", err)
		}
		records, err := c.records(0)
		if err != nil {
			return
		}
		for _, r := range records {
			if _, err := encodeEvent(nil, r.Event); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzDecodeEntries(f *testing.F) {
	f.Add(encodeEntries([]*entry{{kind: entryKeep, stream: "s", reader: "r", read: 3, state: []byte("x")}, {kind: entryForgetAll, stream: "s"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := decodeEntries(b)
		if err != nil {
			return
		}
		if again, err := decodeEntries(encodeEntries(entries)); err != nil || len(again) != len(entries) {
			t.Fatal(err)
		}
	})
}

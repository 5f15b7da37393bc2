package jetstream

import (
	"sort"
	"sync"

	"ebb.dev/ebb/eventing/log"
)

// What a ring holds at most: readers that are further behind read pages.
const (
	ringBytes   = 1 << 20
	ringCommits = 512
)

// ring has a stream's last commits for those who follow it. The zero value is empty.
type ring struct {
	commits []*recent
	bytes   uint64
}

// recent is a commit that is decoded once for all.
type recent struct {
	*commit
	once    sync.Once
	decoded []log.Record
	err     error
}

func (r *recent) all() ([]log.Record, error) {
	r.once.Do(func() { r.decoded, r.err = r.records(0) })
	return r.decoded, r.err
}

// from returns the records from a position on.
func (r *recent) from(p log.Position) ([]log.Record, error) {
	records, err := r.all()
	if err != nil || p <= r.first {
		return records, err
	}
	return records[min(uint64(p-r.first), uint64(len(records))):], nil
}

func (r *ring) add(c *commit) {
	r.commits = append(r.commits, &recent{commit: c})
	r.bytes += c.size
	drop := 0
	for len(r.commits)-drop > ringCommits || (r.bytes > ringBytes && len(r.commits)-drop > 1) {
		r.bytes -= r.commits[drop].size
		r.commits[drop] = nil
		drop++
	}
	r.commits = r.commits[drop:]
}

// find returns the commits from the one with a position on; none if that one is not here.
func (r *ring) find(p log.Position) []*recent {
	if len(r.commits) == 0 || r.commits[0].first > p {
		return nil
	}
	i := sort.Search(len(r.commits), func(i int) bool { return r.commits[i].next() > p })
	return append([]*recent(nil), r.commits[i:]...)
}

package peers

import (
	"context"
	"sync"
	"time"

	"ebb.dev/ebb/test/bench/load"
)

// saturate has clients do something again and again.
func saturate(ctx context.Context, clients int, warmup, counted time.Duration, do func() error) load.Result {
	begin := time.Now()
	from, end := begin.Add(warmup), begin.Add(warmup+counted)
	results := make([]load.Result, clients)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			r := &results[i]
			for start := time.Now(); start.Before(end) && ctx.Err() == nil; start = time.Now() {
				if err := do(); err != nil {
					r.Fail(err)
					continue
				}
				r.Add(start, time.Now(), from)
			}
		})
	}
	group.Wait()
	return load.Sum(results, counted)
}

package drain

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

var revision = model.Key{Namespace: "default", Name: "hello-00001"}

func pod(name string) model.Key { return model.Key{Namespace: "default", Name: name} }

func TestReinstate(t *testing.T) {
	const going = true
	for name, c := range map[string]struct {
		replicas map[string]bool // those that are being deleted are true
		drained  []string
		wanted   int
		stay     []string
		left     []string
	}{
		"nobody was deleted yet":                    {map[string]bool{"a": false, "b": false}, []string{"a"}, 1, nil, []string{"a"}},
		"the drained one is deleted":                {map[string]bool{"a": going, "b": false}, []string{"a"}, 1, nil, nil},
		"another is deleted":                        {map[string]bool{"a": false, "b": going}, []string{"a"}, 1, []string{"a"}, nil},
		"another is gone":                           {map[string]bool{"a": false}, []string{"a"}, 1, []string{"a"}, nil},
		"the drained one is gone":                   {map[string]bool{"b": false}, []string{"a"}, 1, nil, nil},
		"as many are wanted again":                  {map[string]bool{"a": false, "b": false}, []string{"a"}, 2, []string{"a"}, nil},
		"woken before the last one was deleted":     {map[string]bool{"a": false}, []string{"a"}, 1, []string{"a"}, nil},
		"asleep, and the last one is being deleted": {map[string]bool{"a": going}, []string{"a"}, 0, nil, nil},
		"one of two is deleted, another is to go":   {map[string]bool{"a": going, "b": false, "c": false}, []string{"a", "b"}, 1, nil, []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := store.New()
			d := New(s, quiet{}, quiet{}, quiet{}, time.Now, slog.New(slog.DiscardHandler))
			have(s, slices.Sorted(maps.Keys(c.replicas))...)
			for _, name := range c.drained {
				d.Retire(t.Context(), revision, []model.Key{pod(name)}, func(context.Context) error { return nil })
			}
			for name, terminating := range c.replicas {
				if terminating {
					terminate(s, name)
				}
			}
			d.Reinstate(revision, c.wanted)
			var stay, left []string
			for _, r := range s.Read().ReplicasOf(revision) {
				switch name := r.Pod.Name; {
				case !slices.Contains(c.drained, name) || r.Terminating:
				case r.Ready() && !r.Left:
					stay = append(stay, name)
				case r.Draining && r.Left:
					left = append(left, name)
				default:
					t.Errorf("%s: %+v", name, r)
				}
			}
			if !slices.Equal(stay, c.stay) {
				t.Errorf("%v stay, want %v", stay, c.stay)
			}
			if !slices.Equal(left, c.left) {
				t.Errorf("%v are to go, want %v", left, c.left)
			}
		})
	}
}

// quiet is a mesh without traffic: gateways accept at once, nothing is in flight, nobody waits.
type quiet struct{}

func (quiet) Rest(context.Context, model.Key) error    { return nil }
func (quiet) Wake(model.Key)                           {}
func (quiet) Drained(context.Context, model.Key) error { return nil }
func (quiet) Waiting(model.Key) bool                   { return false }
func (quiet) Close(model.Key)                          {}
func (quiet) Open(model.Key)                           {}
func (quiet) Underway(model.Key) time.Time             { return time.Time{} }
func (quiet) Arrival(model.Key) (<-chan struct{}, func()) {
	return nil, func() {}
}

func (quiet) InFlight(string, model.Key, time.Time) (float64, bool, <-chan struct{}) {
	return 0, true, nil
}

func TestWhoWasDrainedServesAgainWhenItIsKept(t *testing.T) {
	ctx := t.Context()
	done := func(context.Context) error { return nil }
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		act    func(d *Drainer, s *store.Store)
		wanted int
		serves []string
	}{
		"a scale-down that waits for the ReplicaSet": {
			func(d *Drainer, _ *store.Store) { d.Retire(ctx, revision, []model.Key{pod("a")}, done) }, 1, []string{"b"},
		},
		"another was deleted": {
			func(d *Drainer, s *store.Store) {
				d.Retire(ctx, revision, []model.Key{pod("a")}, done)
				terminate(s, "b")
			}, 1, []string{"a"},
		},
		"the scale-down failed": {
			func(d *Drainer, _ *store.Store) {
				d.Retire(ctx, revision, []model.Key{pod("a")}, func(context.Context) error { return refused })
			}, 2, []string{"a", "b"},
		},
		"woken before anything was deleted": {
			func(d *Drainer, _ *store.Store) { d.Empty(ctx, revision, done) }, 2, []string{"a", "b"},
		},
		"asleep": {
			func(d *Drainer, _ *store.Store) { d.Empty(ctx, revision, done) }, 0, nil,
		},
		"one that somebody deletes is on its way, whatever is wanted": {
			func(d *Drainer, _ *store.Store) {
				d.Retire(ctx, revision, []model.Key{pod("a")}, done)
				d.Leaving(ctx, pod("a"))
			}, 2, []string{"b"},
		},
		"one that is being drained is not undone by an older scale-down": {
			func(d *Drainer, _ *store.Store) {
				d.Retire(ctx, revision, []model.Key{pod("a")}, done)
				d.Retire(ctx, revision, []model.Key{pod("a")}, func(context.Context) error {
					d.Reinstate(revision, 2)
					return nil
				})
			}, 1, []string{"b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := store.New()
			have(s, "a", "b")
			d := New(s, quiet{}, quiet{}, quiet{}, time.Now, slog.New(slog.DiscardHandler))
			c.act(d, s)
			d.Reinstate(revision, c.wanted)
			var serves []string
			for _, r := range s.Read().ReplicasOf(revision) {
				if r.Ready() {
					serves = append(serves, r.Pod.Name)
				}
			}
			slices.Sort(serves)
			if !slices.Equal(serves, c.serves) {
				t.Errorf("%v serve, want %v", serves, c.serves)
			}
		})
	}
}

// have puts ready replicas of the revision into a store.
func have(s *store.Store, names ...string) {
	s.Write(func(tx *store.Tx) {
		tx.SetRevision(model.Revision{Key: revision})
		for _, name := range names {
			r := &store.Replica{Answers: true, Programmed: true, Listening: true}
			r.Pod, r.Revision = pod(name), model.Revision{Key: revision}
			tx.SetReplica(r)
		}
	})
}

func terminate(s *store.Store, names ...string) {
	s.Write(func(tx *store.Tx) {
		for _, name := range names {
			tx.ChangeReplica(pod(name), func(r *store.Replica) { r.Terminating = true })
		}
	})
}

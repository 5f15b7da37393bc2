package store

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ebb.dev/ebb/xds/model"
)

func key(name string) model.Key { return model.Key{Namespace: "default", Name: name} }

func owner(name string) model.Owner { return model.Owner{Kind: "Ingress", Key: key(name)} }

var cluster = model.ClusterName(key("v1"), model.HTTP1)

// asks are the virtual hosts of an object made at a second, one for each group of hosts.
func asks(name string, second int64, groups ...[]string) (model.Owner, []*model.VHost) {
	var out []*model.VHost
	for _, hosts := range groups {
		out = append(out, &model.VHost{
			Name: model.VHostName(model.External, hosts[0]), Config: model.External, Owner: owner(name),
			Since: time.Unix(second, 0), Domains: hosts,
			Routes: []model.Route{{PathPrefix: "/", Splits: []model.Split{{Cluster: cluster, Revision: key("v1"), Weight: 100}}}},
		})
	}
	return owner(name), out
}

// served lists who serves which host.
func served(v View) map[string]string {
	out := map[string]string{}
	for _, vhost := range v.VHosts() {
		for _, domain := range vhost.Domains {
			out[domain] = vhost.Owner.Key.Name
		}
	}
	return out
}

func set(s *Store, name string, second int64, groups ...[]string) (refused []string) {
	s.Write(func(tx *Tx) { refused = tx.SetVHosts(asks(name, second, groups...)) })
	return refused
}

func TestAHostIsTheOldestOnesInWhateverOrderTheyCome(t *testing.T) {
	type claim struct {
		name   string
		second int64
		hosts  []string
	}
	claims := []claim{
		{"old", 1, []string{"shop", "old"}},
		{"young", 2, []string{"shop", "young"}},
		{"younger", 3, []string{"younger", "shop", "young"}},
	}
	want := map[string]string{"shop": "old", "old": "old", "young": "young", "younger": "younger"}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		s := New()
		for _, i := range order {
			set(s, claims[i].name, claims[i].second, claims[i].hosts)
		}
		if diff := cmp.Diff(want, served(s.Read())); diff != "" {
			t.Errorf("order %v (-want +got):\n%s", order, diff)
		}
		for _, vhost := range s.Read().VHosts() {
			if vhost.Name != model.VHostName(vhost.Config, vhost.Domains[0]) {
				t.Errorf("virtual host %s has the hosts %v", vhost.Name, vhost.Domains)
			}
			for _, domain := range vhost.Domains {
				if found, ok := s.Read().VHostByDomain(model.External, domain); !ok || found != vhost {
					t.Errorf("host %s is not found", domain)
				}
			}
		}
	}
}

func TestOfOneAgeTheFirstByNameHasAHost(t *testing.T) {
	s := New()
	if refused := set(s, "b", 1, []string{"shop"}); refused != nil {
		t.Errorf("refused %v", refused)
	}
	if refused := set(s, "a", 1, []string{"shop"}); refused != nil {
		t.Errorf("refused %v", refused)
	}
	if got := served(s.Read())["shop"]; got != "a" {
		t.Errorf("%s has it", got)
	}
}

func TestAHostThatIsTakenIsRefusedAndTheOthersAreServed(t *testing.T) {
	s := New()
	set(s, "old", 1, []string{"shop"})
	refused := set(s, "young", 2, []string{"shop", "mine"}, []string{"also-mine"})
	if !slices.Equal(refused, []string{"shop"}) {
		t.Errorf("refused %v", refused)
	}
	if diff := cmp.Diff(map[string]string{"shop": "old", "mine": "young", "also-mine": "young"}, served(s.Read())); diff != "" {
		t.Error(diff)
	}
}

func TestAFreedHostGoesToWhoWasRefusedWithoutAnEdit(t *testing.T) {
	for name, free := range map[string]func(*Store){
		"the object is deleted":    func(s *Store) { set(s, "old", 1) },
		"the object gives it up":   func(s *Store) { set(s, "old", 1, []string{"other"}) },
		"its host moves elsewhere": func(s *Store) { set(s, "old", 1, []string{"other"}, []string{"third"}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := New()
			var last *Touched
			s.Subscribe(func(touched *Touched) { last = touched })
			set(s, "old", 1, []string{"shop"})
			set(s, "young", 2, []string{"shop"})
			set(s, "younger", 3, []string{"shop"})
			free(s)
			if got := served(s.Read())["shop"]; got != "young" {
				t.Fatalf("%q has it", got)
			}
			if _, ok := last.VHosts["external/shop"]; !ok {
				t.Errorf("touched %v", last.VHosts)
			}
			if refused := set(s, "young", 2, []string{"shop"}); refused != nil {
				t.Errorf("refused %v", refused)
			}
			if refused := set(s, "younger", 3, []string{"shop"}); !slices.Equal(refused, []string{"shop"}) {
				t.Errorf("refused %v", refused)
			}
		})
	}
}

func TestOneHostInsideAndOutsideAreTwo(t *testing.T) {
	s := New()
	set(s, "out", 1, []string{"shop"})
	o, inside := asks("in", 2, []string{"shop"})
	inside[0].Config, inside[0].Name = model.Internal, model.VHostName(model.Internal, "shop")
	s.Write(func(tx *Tx) {
		if refused := tx.SetVHosts(o, inside); refused != nil {
			t.Errorf("refused %v", refused)
		}
	})
	for config, want := range map[model.RouteConfig]string{model.External: "out", model.Internal: "in"} {
		if vhost, ok := s.Read().VHostByDomain(config, "shop"); !ok || vhost.Owner.Key.Name != want {
			t.Errorf("%s: %v", config, vhost)
		}
	}
}

// replica is a pod of a revision at a proxy.
func replica(pod, revision, proxy string) *Replica {
	return &Replica{Node: "n1", Replica: model.Replica{Pod: key(pod), Revision: model.Revision{Key: key(revision)}, Proxy: proxy}}
}

func TestAWriteTellsExactlyWhatItTouched(t *testing.T) {
	seed := func(tx *Tx) {
		tx.SetRevision(model.Revision{Key: key("v1")})
		tx.SetReplica(replica("p1", "v1", "node/n1/0"))
		tx.SetReplica(replica("p2", "v1", "node/n1/1"))
		tx.SetVHosts(asks("shop", 1, []string{"shop", "www"}))
		tx.SetService(&Service{Cluster: model.Cluster{Name: "service|default/echo|80"}})
	}
	set := func(names ...string) map[string]struct{} {
		out := map[string]struct{}{}
		for _, name := range names {
			out[name] = struct{}{}
		}
		return out
	}
	keys := func(names ...string) map[model.Key]struct{} {
		out := map[model.Key]struct{}{}
		for _, name := range names {
			out[key(name)] = struct{}{}
		}
		return out
	}
	for name, c := range map[string]struct {
		write func(*Tx)
		want  *Touched
	}{
		"the same again": {seed, nil},
		"a new host": {
			func(tx *Tx) { tx.SetVHosts(asks("more", 1, []string{"more"})) },
			&Touched{VHosts: set("external/more")},
		},
		"another first host": {
			func(tx *Tx) { tx.SetVHosts(asks("shop", 1, []string{"www", "shop"})) },
			&Touched{VHosts: set("external/shop", "external/www")},
		},
		"a host gone": {
			func(tx *Tx) { tx.SetVHosts(owner("shop"), nil) },
			&Touched{VHosts: set("external/shop")},
		},
		"a revision's spec goes to its replicas": {
			func(tx *Tx) { tx.SetRevision(model.Revision{Key: key("v1"), Concurrency: 1}) },
			&Touched{Revisions: keys("v1"), Replicas: keys("p1", "p2"), Proxies: set("node/n1/0", "node/n1/1")},
		},
		"a flag": {
			func(tx *Tx) { tx.SetAsleep(key("v1"), true) },
			&Touched{Revisions: keys("v1")},
		},
		"a flag that is set already": {func(tx *Tx) { tx.SetAlwaysHeld(key("v1"), false) }, nil},
		"one replica": {
			func(tx *Tx) { tx.ChangeReplica(key("p1"), func(r *Replica) { r.Answers = true }) },
			&Touched{Revisions: keys("v1"), Replicas: keys("p1"), Proxies: set("node/n1/0")},
		},
		"a replica that moves": {
			func(tx *Tx) { tx.SetReplica(replica("p1", "v1", "node/n1/1")) },
			&Touched{Revisions: keys("v1"), Replicas: keys("p1"), Proxies: set("node/n1/0", "node/n1/1")},
		},
		"a replica without a proxy": {
			func(tx *Tx) { tx.SetReplica(replica("p3", "v2", "")) },
			&Touched{Revisions: keys("v2"), Replicas: keys("p3")},
		},
		"a replica gone": {
			func(tx *Tx) { tx.DeleteReplica(key("p2")) },
			&Touched{Revisions: keys("v1"), Replicas: keys("p2"), Proxies: set("node/n1/1")},
		},
		"a revision gone":      {func(tx *Tx) { tx.DeleteRevision(key("v1")) }, &Touched{Revisions: keys("v1")}},
		"an unknown one gone":  {func(tx *Tx) { tx.DeleteRevision(key("v9")); tx.DeleteReplica(key("p9")); tx.DeleteService("x") }, nil},
		"a plain service gone": {func(tx *Tx) { tx.DeleteService("service|default/echo|80") }, &Touched{Services: set("service|default/echo|80")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := New()
			s.Write(seed)
			var got *Touched
			s.Subscribe(func(touched *Touched) { got = touched })
			s.Write(c.write)
			if c.want != nil {
				full := newTouched()
				for _, fill := range []func(){
					func() { full.VHosts = orElse(c.want.VHosts, full.VHosts) },
					func() { full.Revisions = orElse(c.want.Revisions, full.Revisions) },
					func() { full.Replicas = orElse(c.want.Replicas, full.Replicas) },
					func() { full.Proxies = orElse(c.want.Proxies, full.Proxies) },
					func() { full.Services = orElse(c.want.Services, full.Services) },
				} {
					fill()
				}
				c.want = full
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("touched (-want +got):\n%s", diff)
			}
		})
	}
}

func orElse[M ~map[K]struct{}, K comparable](m, otherwise M) M {
	if m != nil {
		return m
	}
	return otherwise
}

func TestANewSpecKeepsARevisionsFlags(t *testing.T) {
	s := New()
	s.Write(func(tx *Tx) {
		tx.SetRevision(model.Revision{Key: key("v1")})
		tx.SetReplica(replica("p1", "v1", "node/n1/0"))
		tx.SetAsleep(key("v1"), true)
		tx.SetAlwaysHeld(key("v1"), true)
		tx.ChangeReplica(key("p1"), func(r *Replica) { r.Answers, r.Draining = true, true })
	})
	before := s.Read()
	s.Write(func(tx *Tx) { tx.SetRevision(model.Revision{Key: key("v1"), Concurrency: 7}) })
	revision, _ := s.Read().Revision(key("v1"))
	if !revision.Asleep || !revision.AlwaysHeld || revision.Concurrency != 7 {
		t.Errorf("got %+v", revision)
	}
	pod, _ := s.Read().Replica(key("p1"))
	if pod.Revision.Concurrency != 7 || !pod.Answers || !pod.Draining {
		t.Errorf("got %+v", pod)
	}
	if old, _ := before.Replica(key("p1")); old.Revision.Concurrency != 0 {
		t.Error("an older snapshot changed")
	}
}

func TestReplicasAreFoundByRevisionProxyAndNode(t *testing.T) {
	s := New()
	s.Write(func(tx *Tx) {
		tx.SetReplica(replica("b", "v1", "node/n1/0"))
		tx.SetReplica(replica("a", "v1", "node/n1/1"))
		tx.SetReplica(replica("c", "v1x", "node/n1/10"))
	})
	names := func(replicas []*Replica) (out []string) {
		for _, r := range replicas {
			out = append(out, r.Pod.Name)
		}
		return out
	}
	v := s.Read()
	for what, c := range map[string]struct{ got, want []string }{
		"revision":         {names(v.ReplicasOf(key("v1"))), []string{"a", "b"}},
		"proxy":            {names(v.ReplicasAt("node/n1/1")), []string{"a"}},
		"proxy by prefix":  {names(v.ReplicasAt("node/n1/")), nil},
		"node":             {names(v.ReplicasOn("n1")), []string{"a", "b", "c"}},
		"nobody's":         {names(v.ReplicasOf(key("v"))), nil},
		"all":              {names(v.Replicas()), []string{"a", "b", "c"}},
		"unknown revision": {names(v.ReplicasOf(key("nobody"))), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("by %s: %v, want %v", what, c.got, c.want)
		}
	}
}

func TestAPanicInAWriteLeavesTheStoreUsable(t *testing.T) {
	s := New()
	func() {
		defer func() { _ = recover() }()
		s.Write(func(tx *Tx) { tx.SetRevision(model.Revision{Key: key("half")}); panic("a bug") })
	}()
	s.Write(func(tx *Tx) { tx.SetRevision(model.Revision{Key: key("v1")}) })
	if got := s.Read().Revisions(); len(got) != 1 || got[0].Key != key("v1") {
		t.Errorf("got %v", got)
	}
}

func TestWhenAReplicaTakesRequests(t *testing.T) {
	at := time.Unix(1000, 0)
	up := Replica{Answers: true, Programmed: true, Listening: true}
	probe := func(delay time.Duration) model.Replica {
		return model.Replica{Revision: model.Revision{Probe: &model.Probe{InitialDelay: delay}}}
	}
	for name, c := range map[string]struct {
		r               func(*Replica)
		ready, starting bool
		ask             bool
		after           time.Time
	}{
		"up":                        {func(*Replica) {}, true, false, false, time.Time{}},
		"not answering":             {func(r *Replica) { r.Answers = false }, false, true, false, time.Time{}},
		"not listening":             {func(r *Replica) { r.Listening = false }, false, true, false, time.Time{}},
		"not programmed":            {func(r *Replica) { r.Programmed = false }, false, false, false, time.Time{}},
		"draining":                  {func(r *Replica) { r.Draining = true }, false, false, false, time.Time{}},
		"draining before it was up": {func(r *Replica) { r.Answers, r.Draining = false, true }, false, false, false, time.Time{}},
		"terminating":               {func(r *Replica) { r.Terminating = true }, false, false, false, time.Time{}},
		"to be asked": {func(r *Replica) { r.Answers, r.Replica = false, probe(0) },
			false, true, true, time.Unix(0, 0)},
		"was ready: its pod speaks": {func(r *Replica) { r.Answers, r.WasReady, r.Replica = false, true, probe(0) },
			false, true, false, time.Time{}},
		"to be asked later, nobody knows when": {func(r *Replica) { r.Answers, r.Replica = false, probe(time.Minute) },
			false, true, true, time.Time{}},
		"to be asked after its delay": {func(r *Replica) { r.Answers, r.Started, r.Replica = false, at, probe(time.Minute) },
			false, true, true, at.Add(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			r := up
			c.r(&r)
			ask, after := r.AskApp()
			if r.Ready() != c.ready || r.Starting() != c.starting || ask != c.ask || !after.Equal(c.after) {
				t.Errorf("ready %t, starting %t, ask %t after %s", r.Ready(), r.Starting(), ask, after)
			}
		})
	}
}

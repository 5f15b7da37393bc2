package plan

import (
	"testing"
	"time"

	"ebb.dev/ebb/xds/model"
)

var shop, till = model.Key{Namespace: "default", Name: "shop"}, model.Key{Namespace: "default", Name: "till"}

func nobody(model.Key) bool { return false }

// A node proxy holds the certificates of who it serves, and of who it served until lately.
func TestIdentitiesAreHeldForAWhileAfterTheLastReplica(t *testing.T) {
	at := func(minutes int) time.Time { return time.Unix(0, 0).Add(time.Duration(minutes) * time.Minute) }
	i := identities{}
	i.add(shop)
	i.add(shop)
	i.add(till)
	if !i.hold(shop) || i.hold(shop) || !i.hold(till) || i.hold(model.Key{Name: "nobody"}) {
		t.Fatal("each is held once, and only who has a replica")
	}
	i.remove(shop, at(0))
	i.remove(till, at(1))
	i.remove(model.Key{Name: "nobody"}, at(1))
	if gone := i.expire(at(20)); len(gone) != 1 || gone[0] != till {
		t.Fatalf("one of shop is left, and till has had none for 19 minutes: gone is %v", gone)
	}
	i.remove(shop, at(20))
	if gone := i.expire(at(29)); len(gone) != 0 || i.hold(shop) {
		t.Fatalf("shop is held for ten minutes: gone is %v", gone)
	}
	if gone := i.expire(at(30)); len(gone) != 1 || len(i) != 0 {
		t.Errorf("and not longer: gone is %v, left %v", gone, i)
	}
	i.add(till)
	if i.remove(till, at(30)); len(i) != 0 {
		t.Errorf("what was never held is not kept: %v", i)
	}
}

// A proxy that begins anew waits for the certificates that it is told to hold, and nobody signs those of workloads that it has no pod of.
func TestAProxyThatBeginsAnewHoldsNothing(t *testing.T) {
	i := identities{}
	i.add(shop)
	i.add(till)
	i.hold(shop)
	i.hold(till)
	i.remove(till, time.Unix(0, 0))
	if gone := i.restart(func(model.Key) bool { return true }); len(gone) != 0 {
		t.Errorf("a proxy that comes back with all it had: gone is %v", gone)
	}
	if gone := i.restart(nobody); len(gone) != 2 || i[till] != nil {
		t.Errorf("gone is %v, left %v", gone, i)
	}
	if !i.hold(shop) || i.hold(till) {
		t.Error("shop is held again once its replica listens, till has none")
	}
}

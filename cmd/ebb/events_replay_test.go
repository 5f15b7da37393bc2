package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestAReplayThatIsBrokenOffSaysHowToGoOn(t *testing.T) {
	for _, c := range []struct {
		name, lines   string
		shown, failed string
	}{
		{
			"to its end", `{"trigger":"shop/mail","from":3,"to":9,"next":5}{"trigger":"shop/mail","from":3,"to":9,"notKept":2,"next":10,"delivered":6,"dead":1,"ended":true}`,
			"2 positions before 3 are not kept any more\nTrigger shop/mail: positions 3 to 9: 6 delivered, 0 retried, 1 dead\n", "",
		},
		{
			"cut off", `{"trigger":"shop/mail","from":3,"to":9,"next":5,"delivered":2}`,
			"Trigger shop/mail: positions 3 to 4: 2 delivered, 0 retried, 0 dead\n", "go on with: ebb events replay mail -n shop --from 5 --to 9",
		},
		{"cut off at once", "", "", "begin it again"},
		{
			"ended by the broker", `{"trigger":"shop/mail","from":3,"to":9,"next":3,"ended":true,"interrupted":"the broker stops"}`,
			"", "(the broker stops); go on with: ebb events replay mail -n shop --from 3 --to 9",
		},
		{"nothing there", `{"trigger":"shop/mail","from":3,"to":2,"next":3,"ended":true}`, "Trigger shop/mail: the Broker keeps nothing in that range\n", ""},
		{
			"one partition", `{"trigger":"shop/mail","partition":2,"partitions":1,"from":3,"to":9,"next":5,"delivered":2}`,
			"Trigger shop/mail: positions 2/3 to 2/4: 2 delivered, 0 retried, 0 dead\n", "go on with: ebb events replay mail -n shop --from 2/5 --to 2/9",
		},
		{
			"all partitions", `{"trigger":"shop/mail","partition":0,"partitions":2,"from":3,"to":9,"next":5}
				{"trigger":"shop/mail","partition":0,"partitions":2,"from":3,"to":9,"next":10,"delivered":7,"ended":true}
				{"trigger":"shop/mail","partition":1,"partitions":2,"from":1,"to":0,"next":1,"ended":true}`,
			"Trigger shop/mail: positions 0/3 to 0/9: 7 delivered, 0 retried, 0 dead\nTrigger shop/mail: partition 1, the Broker keeps nothing in that range\n", "",
		},
		{
			"cut off between partitions", `{"trigger":"shop/mail","partition":0,"partitions":3,"from":3,"to":9,"next":10,"delivered":7,"ended":true}
				{"trigger":"shop/mail","partition":1,"partitions":3,"from":1,"to":5,"next":2,"delivered":1}`,
			"Trigger shop/mail: positions 1/1 to 1/1: 1 delivered, 0 retried, 0 dead\n",
			"in partition 2 of 3 (the answer was broken off); go on with: ebb events replay mail -n shop --from 1/2 --to 1/5, then with the 1 partitions after it",
		},
		{
			"dry", `{"trigger":"shop/mail","from":3,"to":9,"next":10,"matched":2,"dryRun":true,"ended":true,"events":[{"position":3,"id":"e3"}]}`,
			"and 1 more\nTrigger shop/mail: 2 events of positions 3 to 9 would be delivered\n", "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var terminal, out bytes.Buffer
			all := followReplays(strings.NewReader(c.lines), &terminal)
			if err := writeReplays(&out, all); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); !strings.HasSuffix(got, c.shown) || c.shown == "" && got != "" {
				t.Errorf("shows %q", got)
			}
			err := unfinished(all, "mail", "shop")
			if (err == nil) != (c.failed == "") || err != nil && !strings.Contains(err.Error(), c.failed) {
				t.Errorf("says %v", err)
			}
		})
	}
}

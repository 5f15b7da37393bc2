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
			"dry", `{"trigger":"shop/mail","from":3,"to":9,"next":10,"matched":2,"dryRun":true,"ended":true,"events":[{"position":3,"id":"e3"}]}`,
			"and 1 more\nTrigger shop/mail: 2 events of positions 3 to 9 would be delivered\n", "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var terminal, out bytes.Buffer
			last := followReplay(strings.NewReader(c.lines), &terminal)
			if err := writeReplay(&out, last); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); !strings.HasSuffix(got, c.shown) || c.shown == "" && got != "" {
				t.Errorf("shows %q", got)
			}
			err := unfinished(last, "mail", "shop")
			if (err == nil) != (c.failed == "") || err != nil && !strings.Contains(err.Error(), c.failed) {
				t.Errorf("says %v", err)
			}
		})
	}
}

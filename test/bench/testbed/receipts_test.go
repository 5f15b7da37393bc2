package testbed

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTheFirstReceiptOfEachEventCounts(t *testing.T) {
	r := newReceipts()
	for _, text := range []string{"run-1.1.1000 1500", "run-1.1.1000 9000", "run-2.1.1000 3000", "run-1.2.2000 2100"} {
		run, receipt, err := parseReceipt(text)
		if err != nil {
			t.Fatal(err)
		}
		r.add(run, receipt)
	}
	got, err := r.Of(t.Context(), "run-1", 2)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v %+v", err, got)
	}
	for _, receipt := range got {
		if took := receipt.At.Sub(receipt.Sent); took != 500 && took != 100 {
			t.Errorf("%s took %v", receipt.ID, took)
		}
	}
}

func TestWhatDoesNotComeIsSaid(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("it took too long"))
	defer cancel()
	if _, err := newReceipts().Of(ctx, "run-1", 2); err == nil || !strings.Contains(err.Error(), "0 of 2 events of run-1") {
		t.Error(err)
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add("run-1.7.1790000000000000000 1790000000000000001")
	f.Add(". ")
	f.Fuzz(func(t *testing.T, text string) {
		if _, receipt, err := parseReceipt(text); err == nil && !strings.HasPrefix(text, receipt.ID+" ") {
			t.Errorf("%q: %+v", text, receipt)
		}
	})
}

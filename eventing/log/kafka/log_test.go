package kafka

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/test/fakekafka"
	broker "ebb.dev/ebb/test/kafka"
)

// clock is a log's clock, ahead of the real one.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) Sleep(d time.Duration) { c.ahead.Add(int64(d)) }

// open opens a log that the test ends, unless it is closed before.
func open(t *testing.T, o Options) *Log {
	t.Helper()
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// conforming is a log as the kit takes it.
func conforming(t *testing.T, c *clock, o Options) logtest.Opened {
	t.Helper()
	o.Now = c.Now
	l := open(t, o)
	return logtest.Opened{
		Log: l, Sleep: c.Sleep, Unbounded: "Kafka bounds a topic by retention, not by what is unread",
		Reopen: func(t *testing.T) logtest.Opened {
			l.Close()
			return conforming(t, c, o)
		},
	}
}

func TestItKeepsWhatALogPromises(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Opened { return conforming(t, &clock{}, Options{Cluster: fakekafka.At(t)}) })
}

// names are prefixes that no other test of this process has.
var names atomic.Int64

func unique() string { return fmt.Sprint("log", names.Add(1)) }

// TestOnApacheKafka does with one Kafka what needs a real one.
func TestOnApacheKafka(t *testing.T) {
	k := broker.Start(t, broker.Options{Secure: true})
	at := cluster.Cluster{Servers: []string{k.Address}}
	t.Run("WhatALogPromises", func(t *testing.T) {
		logtest.Run(t, func(t *testing.T) logtest.Opened {
			return conforming(t, &clock{}, Options{Cluster: at, Name: unique()})
		})
	})
	t.Run("RecordsOfOthersDoNotStopReaders", func(t *testing.T) { recordsOfOthers(t, at) })
	t.Run("ConsumerGroupsShowWhoLags", func(t *testing.T) { whoLags(t, at) })
	t.Run("TheNewerOfTwoBrokersWins", func(t *testing.T) { newerWins(t, at) })
	t.Run("EveryWayToAuthenticateWorks", func(t *testing.T) { authenticate(t, k) })
}

package freeport

import (
	"net"
	"testing"
)

func TestNoPortIsGivenTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		ports, err := Find(10)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range ports {
			if seen[port] || port < first || port >= first+count {
				t.Errorf("port %d", port)
			}
			seen[port] = true
		}
	}
	l, err := net.Listen("tcp", Address(Must(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

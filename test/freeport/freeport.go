package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Linux takes outgoing connections' ports from 32768 on by default, Kubernetes those of Services from 30000.
const (
	first = 20000
	count = 10000
	tries = 1000
)

var (
	mu    sync.Mutex
	given = map[int]bool{}
)

// Find returns n ports of 127.0.0.1.
func Find(n int) ([]int, error) {
	mu.Lock()
	defer mu.Unlock()
	var out []int
	for range tries {
		if len(out) == n {
			return out, nil
		}
		port := first + rand.IntN(count)
		if given[port] {
			continue
		}
		l, err := net.Listen("tcp", Address(port))
		if err != nil {
			continue
		}
		given[port] = true
		out = append(out, port)
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return nil, errors.New("find a free port: too many are taken")
}

// Address is that of a port.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Must is one port, or the end of the test.
func Must(t testing.TB) int {
	t.Helper()
	ports, err := Find(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}

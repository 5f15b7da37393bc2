package mesh

import (
	"context"
	"errors"
	"os"
	"testing"

	"ebb.dev/ebb/test/background"
	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/identity"
)

// Memory keeps a CA as long as the test runs.
type Memory struct{ data []byte }

// Load implements identity.Keeper.
func (m *Memory) Load(context.Context) ([]byte, error) { return m.data, nil }

// Save implements identity.Keeper.
func (m *Memory) Save(_ context.Context, data []byte) error { m.data = data; return nil }

// Tokens are those that are believed, and whose they are.
type Tokens map[string]identity.Claims

// Review implements identity.Reviewer.
func (t Tokens) Review(_ context.Context, token, _ string) (identity.Claims, error) {
	if claims, known := t[token]; known {
		return claims, nil
	}
	return identity.Claims{}, errors.New("unknown token")
}

// WriteRoots writes the file that agents begin to believe a CA by.
func WriteRoots(t testing.TB, ca *identity.CA, path string) {
	t.Helper()
	if err := os.WriteFile(path, ca.RootsPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Agent runs an agent that proves itself by a token until the test ends.
func Agent(t testing.TB, o agent.Options, token string) *agent.Agent {
	t.Helper()
	o.Token = func(context.Context) (string, error) { return token, nil }
	a, err := agent.New(o)
	if err != nil {
		t.Fatal(err)
	}
	background.Run(t, a.Run)
	return a
}

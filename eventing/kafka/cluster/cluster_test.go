package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/test/freeport"
)

func data(pairs ...string) map[string][]byte {
	out := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = []byte(pairs[i+1])
	}
	return out
}

func TestSecretsAreReadAsKnativeReadsThem(t *testing.T) {
	for name, c := range map[string]struct {
		data map[string][]byte
		want Auth
	}{
		"plain text":             {data("protocol", "PLAINTEXT", "user", "a"), Auth{Protocol: Plaintext}},
		"SASL, PLAIN by default": {data("protocol", "SASL_PLAINTEXT", "user", "a", "password", "b"), Auth{Protocol: SASLPlaintext, Mechanism: Plain, User: "a", Password: "b"}},
		"SCRAM":                  {data("protocol", "SASL_SSL", "sasl.mechanism", "SCRAM-SHA-512\n", "user", "a", "password", "b"), Auth{Protocol: SASLSSL, Mechanism: ScramSHA512, User: "a", Password: "b"}},
		"no client's own":        {data("protocol", "SSL", "user.skip", "true"), Auth{Protocol: SSL}},
		"older channels":         {data("username", "a", "password", "b", "saslType", "SCRAM-SHA-256"), Auth{Protocol: SASLPlaintext, Mechanism: ScramSHA256, User: "a", Password: "b"}},
	} {
		got, err := AuthOf(c.data)
		if err != nil || got.Protocol != c.want.Protocol || got.Mechanism != c.want.Mechanism || got.User != c.want.User || got.Password != c.want.Password {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWrongSecretsNameTheKeyAndNoValue(t *testing.T) {
	for want, d := range map[string]map[string][]byte{
		"key protocol is missing":   data(),
		"key protocol: ":            data("protocol", "HTTP"),
		"key sasl.mechanism: ":      data("protocol", "SASL_SSL", "sasl.mechanism", "GSSAPI"),
		"key user is missing":       data("protocol", "SASL_SSL", "password", "hidden"),
		"key password is missing":   data("protocol", "SASL_SSL", "user", "a"),
		"key ca.crt":                data("protocol", "SASL_SSL", "user", "a", "password", "hidden", "ca.crt", "hidden"),
		"keys user.crt and":         data("protocol", "SSL"),
		"are no certificate":        data("protocol", "SSL", "user.crt", "hidden", "user.key", "hidden"),
		"user.skip: \"perhaps\" is": data("protocol", "SSL", "user.skip", "perhaps"),
	} {
		_, err := AuthOf(d)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestClustersAreToldApart(t *testing.T) {
	a := Cluster{Servers: []string{"a:1", "b:2"}}
	if a.ID() != (Cluster{Servers: []string{"b:2", "a:1", "a:1"}}).ID() {
		t.Error("the order of servers does not matter")
	}
	for _, other := range []Cluster{
		{Servers: []string{"a:1"}}, {Servers: []string{"a:1", "b:2"}, Auth: Auth{User: "a"}}, {Servers: []string{"a:1", "b:2"}, Auth: Auth{Password: "a"}},
		{Servers: []string{"a:1b:2"}},
	} {
		if a.ID() == other.ID() {
			t.Errorf("%v is another cluster", other)
		}
	}
}

func TestNobodyThereIsSaidSoInTime(t *testing.T) {
	address := freeport.Address(freeport.Must(t))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := Cluster{Servers: []string{address}}.Connect(ctx, "test")
	var why *Unreachable
	if !errors.As(err, &why) || why.Reason != "NotReachable" || !strings.Contains(err.Error(), address) {
		t.Fatal(err)
	}
}

func FuzzAuthOf(f *testing.F) {
	f.Add("SASL_SSL", "PLAIN", "a", "b", []byte("-----BEGIN CERTIFICATE-----"))
	f.Add("SSL", "", "", "", []byte{})
	f.Fuzz(func(t *testing.T, protocol, mechanism, user, password string, pem []byte) {
		a, err := AuthOf(map[string][]byte{
			"protocol": []byte(protocol), "sasl.mechanism": []byte(mechanism), "user": []byte(user), "password": []byte(password),
			"ca.crt": pem, "user.crt": pem, "user.key": pem,
		})
		if err != nil {
			return
		}
		if _, err := (Cluster{Servers: []string{"a:1"}, Auth: a}).Options("test"); err != nil {
			t.Fatal(err)
		}
	})
}

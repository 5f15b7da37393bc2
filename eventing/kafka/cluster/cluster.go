package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Cluster is one Kafka, as one user sees it.
type Cluster struct {
	// Servers are some of its brokers, HOST:PORT.
	Servers []string
	Auth    Auth
}

// ID tells clusters apart: by their servers, in any order, and who connects.
func (c Cluster) ID() string {
	h := sha256.New()
	part := func(b []byte) {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		_, _ = h.Write(b)
	}
	servers := slices.Sorted(slices.Values(c.Servers))
	for _, s := range slices.Compact(servers) {
		part([]byte(s))
	}
	a := c.Auth
	for _, b := range [][]byte{nil, []byte(a.Protocol), a.CA, a.Cert, a.Key, []byte(a.Mechanism), []byte(a.User), []byte(a.Password)} {
		part(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// String is how logs call it.
func (c Cluster) String() string { return strings.Join(c.Servers, ",") }

// dialTimeout bounds one attempt to connect, TLS and SASL apart.
const dialTimeout = 5 * time.Second

// Options are those of a client that connects to the cluster under a name.
func (c Cluster) Options(name string) ([]kgo.Opt, error) {
	if len(c.Servers) == 0 {
		return nil, errors.New("no bootstrap servers are named")
	}
	out := []kgo.Opt{
		kgo.SeedBrokers(c.Servers...), kgo.ClientID(name), kgo.DialTimeout(dialTimeout), kgo.DisableClientMetrics(),
		// A topic that is gone is noticed in seconds.
		kgo.MetadataMinAge(250 * time.Millisecond), kgo.RetryBackoffFn(backoff),
	}
	if c.Auth.tls() {
		config, err := c.Auth.config()
		if err != nil {
			return nil, err
		}
		out = append(out, kgo.DialTLSConfig(config))
	}
	if c.Auth.sasl() {
		out = append(out, kgo.SASL(c.Auth.mechanism()))
	}
	return out, nil
}

// backoff is how long a client waits before it tries the same again: senders wait for as long while Kafka chooses another leader.
func backoff(tries int) time.Duration {
	const first, most = 50 * time.Millisecond, time.Second
	wait := most
	if tries < 5 {
		wait = min(first<<max(tries-1, 0), most)
	}
	return wait*3/4 + rand.N(wait/2)
}

func (a *Auth) mechanism() sasl.Mechanism {
	switch a.Mechanism {
	case ScramSHA256:
		return scram.Auth{User: a.User, Pass: a.Password}.AsSha256Mechanism()
	case ScramSHA512:
		return scram.Auth{User: a.User, Pass: a.Password}.AsSha512Mechanism()
	}
	return plain.Auth{User: a.User, Pass: a.Password}.AsMechanism()
}

// Connect makes a client and sees that some server answers.
func (c Cluster) Connect(ctx context.Context, name string, more ...kgo.Opt) (*kgo.Client, error) {
	options, err := c.Options(name)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("a client for Kafka at %s: %w", c, err)
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, Explain(c, err)
	}
	return client, nil
}

// Unreachable says why a cluster cannot be used.
type Unreachable struct {
	// Reason is a word for conditions: NotReachable, NotAuthenticated, NotTrusted, NotAuthorized or Busy.
	Reason  string
	message string
	err     error
}

func (u *Unreachable) Error() string { return u.message }

func (u *Unreachable) Unwrap() error { return u.err }

// Explain puts an error of a client in words that say what to do about it.
func Explain(c Cluster, err error) error {
	if err == nil {
		return nil
	}
	say := func(reason, format string, args ...any) error {
		return &Unreachable{Reason: reason, message: fmt.Sprintf(format, args...), err: err}
	}
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		record   tls.RecordHeaderError
		network  *net.OpError
	)
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return say("NotAuthenticated", "Kafka at %s refuses user %q by %s; check user, password and sasl.mechanism of the secret", c, c.Auth.User, c.Auth.Mechanism)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed):
		return say("NotAuthorized", "Kafka at %s does not allow user %q to do this: %v; allow it in Kafka's ACLs", c, c.Auth.User, err)
	case errors.As(err, &unknown), errors.As(err, &hostname):
		return say("NotTrusted", "the certificate of Kafka at %s is not trusted: %v; put its authority into ca.crt of the secret", c, err)
	case errors.As(err, &network) && network.Op == "remote error":
		// What TLS calls what the other side says.
		return say("NotAuthenticated", "Kafka at %s refuses the TLS handshake: %v; check user.crt and user.key of the secret", c, err)
	case errors.As(err, &record):
		return say("NotReachable", "Kafka at %s does not speak TLS on that port; check protocol of the secret", c)
	case errors.As(err, &network) && network.Op == "dial":
		return say("NotReachable", "Kafka at %s cannot be reached: %v", c, network)
	case errors.Is(err, kgo.ErrMaxBuffered):
		return say("Busy", "Kafka at %s confirms less than is sent: too much is on its way already", c)
	case errors.Is(err, context.DeadlineExceeded):
		return say("NotReachable", "Kafka at %s does not answer in time", c)
	}
	return say("NotReachable", "Kafka at %s: %v; check that its listener speaks %s", c, err, protocolOf(c.Auth))
}

func protocolOf(a Auth) string {
	if a.Protocol == "" {
		return Plaintext
	}
	return a.Protocol
}

// Coordinated asks about a consumer group until the cluster knows who coordinates it, or the context ends: the first who asks makes it choose.
func Coordinated[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for tries := 1; ; tries++ {
		answer, err := ask()
		if !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.CoordinatorLoadInProgress) && !errors.Is(err, kerr.NotCoordinator) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(backoff(tries)):
		}
	}
}

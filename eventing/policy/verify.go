package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// believed is for how long the API server's word about a token is taken without asking again; doubted, for a token that it did not know.
	believed = time.Minute
	doubted  = 5 * time.Second
	// remembered is how many tokens are known.
	remembered = 4096
	// asking is how many questions are under way at once.
	asking = 16
)

// ErrUnauthenticated is that a token is nobody's, or not for this receiver.
var ErrUnauthenticated = errors.New("the bearer token is not valid for this receiver")

// Verifier asks the API server whose tokens are, and remembers for a while. Its methods may be called at once.
type Verifier struct {
	client client.Client
	clock  clock.PassiveClock
	slots  chan struct{}

	mu    sync.Mutex
	known map[[sha256.Size]byte]word
}

// word is what the API server said about a token and an audience.
type word struct {
	subject string
	until   time.Time
}

// NewVerifier makes a Verifier.
func NewVerifier(c client.Client, now clock.PassiveClock) *Verifier {
	return &Verifier{client: c, clock: now, slots: make(chan struct{}, asking), known: map[[sha256.Size]byte]word{}}
}

// Subject is whose a token for an audience is. An error that is not ErrUnauthenticated is that nobody could be asked.
func (v *Verifier) Subject(ctx context.Context, token, audience string) (string, error) {
	key := sha256.Sum256([]byte(audience + "\x00" + token))
	said, ok := v.remember(key)
	if !ok {
		subject, err := v.ask(ctx, token, audience)
		if err != nil {
			return "", err
		}
		said = v.keep(key, subject)
	}
	if said.subject == "" {
		return "", ErrUnauthenticated
	}
	return said.subject, nil
}

func (v *Verifier) remember(key [sha256.Size]byte) (word, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	said, ok := v.known[key]
	return said, ok && v.clock.Now().Before(said.until)
}

func (v *Verifier) keep(key [sha256.Size]byte, subject string) word {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.known) >= remembered {
		clear(v.known) // what is still in use is asked for again
	}
	said := word{subject, v.clock.Now().Add(believed)}
	if subject == "" {
		said.until = v.clock.Now().Add(doubted)
	}
	v.known[key] = said
	return said
}

// ask returns "" for a token that is nobody's.
func (v *Verifier) ask(ctx context.Context, token, audience string) (string, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	if err := v.client.Create(ctx, review); err != nil {
		return "", fmt.Errorf("ask the API server whose a token is: %w", err)
	}
	if !review.Status.Authenticated || !slices.Contains(review.Status.Audiences, audience) {
		return "", nil
	}
	return review.Status.User.Username, nil
}

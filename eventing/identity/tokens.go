package identity

import (
	"context"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/eventing/model"
)

const (
	// lifetime is that of the tokens that are asked for, in seconds; each is renewed at half of it.
	lifetime = 3600
	// spare is how long before its end a token is not used any more, if it could not be renewed.
	spare = time.Minute
	// askAgain is how soon a renewal that failed is tried again while the old token still holds.
	askAgain = 10 * time.Second
	// young is how old a token is at most that was as good as asked for just now.
	young = 10 * time.Second
	// remembered is how many tokens are kept before those past their use are dropped.
	remembered = 16384
	// answerWithin bounds how long the API server may take.
	answerWithin = 10 * time.Second
)

// Tokens are those by which ServiceAccounts prove who they are. One is asked for when it is first needed. The methods may be called at once.
type Tokens struct {
	Client client.Client
	Clock  clock.PassiveClock

	mu    sync.Mutex
	known map[proof]*token
}

// proof is what a token is for.
type proof struct {
	account  model.Account
	audience string
}

// token is a token, or the place for one. Its lock is held while it is asked for, so that nobody asks twice.
type token struct {
	mu                   sync.Mutex
	text                 string
	made, renewed, until time.Time
}

// Get is a token of an account for an audience.
func (t *Tokens) Get(ctx context.Context, account model.Account, audience string) (string, error) {
	if account.Key.Name == "" {
		return "", fmt.Errorf("there is no ServiceAccount to ask for a token for %s", audience)
	}
	one := t.place(proof{account, audience})
	one.mu.Lock()
	defer one.mu.Unlock()
	now := t.Clock.Now()
	if one.text != "" && now.Before(one.renewed) {
		return one.text, nil
	}
	status, err := t.ask(ctx, account, audience)
	if err != nil {
		if one.text == "" || !now.Before(one.until) {
			return "", err
		}
		one.renewed = now.Add(askAgain)
		return one.text, nil
	}
	end := status.ExpirationTimestamp.Time
	one.text, one.made, one.renewed, one.until = status.Token, now, now.Add(end.Sub(now)/2), end.Add(-spare)
	return one.text, nil
}

// Doubt says that a receiver did not take a token, and reports whether another one may be had: this one was not asked for just now.
func (t *Tokens) Doubt(account model.Account, audience, text string) bool {
	one := t.place(proof{account, audience})
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.text == text && t.Clock.Now().Sub(one.made) < young {
		return false
	}
	if one.text == text {
		one.text = ""
	}
	return true
}

func (t *Tokens) ask(ctx context.Context, account model.Account, audience string) (authenticationv1.TokenRequestStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	of := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: account.Key.Namespace, Name: account.Key.Name}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: ptr.To[int64](lifetime)}}
	if err := t.Client.SubResource("token").Create(ctx, of, request); err != nil {
		return request.Status, fmt.Errorf("ask for a token of ServiceAccount %s for %s: %w", account.Key, audience, err)
	}
	return request.Status, nil
}

// place is where the token for something is kept.
func (t *Tokens) place(p proof) *token {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one := t.known[p]; one != nil {
		return one
	}
	if t.known == nil {
		t.known = map[proof]*token{}
	}
	if len(t.known) >= remembered {
		t.drop()
	}
	one := &token{}
	t.known[p] = one
	return one
}

// drop forgets tokens past their use; if there are none, some that can be asked for again.
func (t *Tokens) drop() {
	now := t.Clock.Now()
	for p, one := range t.known {
		if !one.mu.TryLock() {
			continue // it is being asked for
		}
		if !now.Before(one.renewed) {
			delete(t.known, p)
		}
		one.mu.Unlock()
	}
	for p := range t.known {
		if len(t.known) < remembered {
			return
		}
		delete(t.known, p)
	}
}

package requestreply

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// subject is what a correlation id is for: an event that was sent to a RequestReply.
type subject struct {
	RequestReply types.UID
	Source, ID   string
}

// nonceSize is how many random bytes a correlation id has: as many that none is guessed.
const nonceSize = 16

// sign makes a correlation id as Knative's look: the event's id, a colon, and what only we can have made. The nonce keeps it from being known
// to whoever sent an event of the same name before.
func sign(key []byte, s subject, nonce [nonceSize]byte) string {
	return s.ID + ":" + base64.RawURLEncoding.EncodeToString(append(nonce[:], seal(key, s, nonce[:])...))
}

// signed reports whether a correlation id was made for a subject.
func signed(key []byte, s subject, correlation string) bool {
	made, ours := strings.CutPrefix(correlation, s.ID+":")
	if !ours {
		return false
	}
	data, err := base64.RawURLEncoding.DecodeString(made)
	if err != nil || len(data) != nonceSize+sha256.Size {
		return false
	}
	return hmac.Equal(data[nonceSize:], seal(key, s, data[:nonceSize]))
}

func seal(key []byte, s subject, nonce []byte) []byte {
	h := hmac.New(sha256.New, key)
	// Quoted, no two subjects look alike. A hash takes whatever it is given.
	_, _ = fmt.Fprintf(h, "%q %q %q %x", s.RequestReply, s.Source, s.ID, nonce)
	return h.Sum(nil)
}

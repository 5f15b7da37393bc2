package requestreply

import (
	"strings"
	"testing"
)

var asked = subject{RequestReply: "u1", Source: "/shop", ID: "42"}

func TestOnlyWhatWasSignedForAnEventIsRecognized(t *testing.T) {
	key, nonce := []byte("key"), [nonceSize]byte{1}
	made := sign(key, asked, nonce)
	if !strings.HasPrefix(made, "42:") {
		t.Errorf("%s does not begin with the event's id, as Knative's do", made)
	}
	other := func(change func(*subject)) string {
		s := asked
		change(&s)
		return sign(key, s, nonce)
	}
	for name, tt := range map[string]struct {
		correlation string
		want        bool
	}{
		"its own":                     {made, true},
		"with another nonce":          {sign(key, asked, [nonceSize]byte{2}), true},
		"by another key":              {sign([]byte("other"), asked, nonce), false},
		"for another RequestReply":    {other(func(s *subject) { s.RequestReply = "u2" }), false},
		"for another source":          {other(func(s *subject) { s.Source = "/bank" }), false},
		"for another event":           {other(func(s *subject) { s.ID = "43" }), false},
		"cut":                         {made[:len(made)-1], false},
		"without what we made":        {"42:", false},
		"nothing":                     {"", false},
		"of a source within the id":   {sign(key, subject{"u1", "/shop\" \"42", ""}, nonce), false},
		"what somebody has made up":   {"42:" + strings.Repeat("A", len(made)-3), false},
		"what is no text of base64":   {"42:" + strings.Repeat("!", len(made)-3), false},
		"with something after it all": {made + "A", false},
	} {
		if got := signed(key, asked, tt.correlation); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzSigned(f *testing.F) {
	key := []byte("key")
	f.Add("u1", "/shop", "42", sign(key, asked, [nonceSize]byte{}))
	f.Add("u1", "/shop", "a:b", "a:b:AAAA")
	f.Add("", "", "", ":")
	f.Fuzz(func(t *testing.T, uid, source, id, correlation string) {
		s := subject{asked.RequestReply, source, id}
		if made := sign(key, s, [nonceSize]byte{7}); !signed(key, s, made) {
			t.Errorf("%q is not recognized", made)
		}
		if uid != string(asked.RequestReply) && signed([]byte("another"), s, correlation) {
			t.Errorf("%q was guessed", correlation)
		}
	})
}

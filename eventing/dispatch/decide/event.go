package decide

import (
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/extension"
)

// errorDataBytes is as much of a refusal as a dead letter carries.
const errorDataBytes = 1024

// Copy is an event whose attributes may be set without changing the one it was made from. They share the data.
func Copy(e *event.Event) *event.Event {
	c := *e
	c.FieldErrors = nil
	c.Context = e.Context.Clone()
	return &c
}

// Outgoing is the event as a subscriber sees it: without the hops it has left.
func Outgoing(e *event.Event) *event.Event {
	if _, has := e.Extensions()[extension.TTL]; !has {
		return e
	}
	c := Copy(e)
	c.SetExtension(extension.TTL, nil)
	return c
}

// Reentry is a reply as it goes back into the broker: with one hop less than the event it answers, whatever the subscriber put there. ok is
// false when no hop is left.
func Reentry(answered, reply *event.Event) (e *event.Event, ok bool) {
	left, _ := extension.Hops(answered)
	if left--; left <= 0 {
		return nil, false
	}
	c := Copy(reply)
	c.SetExtension(extension.TTL, left)
	return c, true
}

// Failure is why an event was given up.
type Failure struct {
	// Dest is where the last attempt went.
	Dest string
	// Code is the status it got; 500 stands for none.
	Code int
	// Data is what the answer said, or why there was none.
	Data string
}

// Dead is the event as a dead letter.
func Dead(e *event.Event, f Failure) *event.Event {
	c := Copy(e)
	c.SetExtension(extension.TTL, nil)
	code := f.Code
	if code == NoAnswer {
		code = 500
	}
	c.SetExtension(extension.ErrorDest, headerSafe(f.Dest))
	c.SetExtension(extension.ErrorCode, int32(code))
	c.SetExtension(extension.ErrorData, headerSafe(f.Data))
	return c
}

// Revived is a dead letter as it was before it died.
func Revived(e *event.Event) *event.Event {
	c := Copy(e)
	for _, name := range []string{extension.ErrorDest, extension.ErrorCode, extension.ErrorData} {
		c.SetExtension(name, nil)
	}
	return c
}

// headerSafe cuts a text to what a dead letter carries, between characters, and makes blanks of what no attribute may hold.
func headerSafe(s string) string {
	if len(s) > errorDataBytes {
		s = s[:errorDataBytes]
		for i := 0; i < utf8.UTFMax && len(s) > 0; i++ {
			if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size > 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r <= 0x9f) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s))
}

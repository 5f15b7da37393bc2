package async

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Preference is a token of the Prefer header (RFC 7240).
type Preference string

const (
	// RespondAsync asks for an answer later.
	RespondAsync Preference = "respond-async"
	// RespondSync asks for none, where the answer would come later by itself.
	RespondSync Preference = "respond-sync"
)

// part is a piece of the header without a comma, but for those in quotes.
const part = `(?:[^,"]|"(?:[^"\\]|\\.)*")*`

// Pattern is a regular expression, in RE2's syntax, of the Prefer headers that have the preference. It is for the whole value, with the values
// of several headers joined by commas.
func (p Preference) Pattern() string {
	return `(?i)(?:` + part + `,)*[ \t]*` + regexp.QuoteMeta(string(p)) + `[ \t]*(?:;` + part + `)?(?:,` + part + `)*`
}

var compiled = map[Preference]*regexp.Regexp{
	RespondAsync: regexp.MustCompile(`^(?:` + RespondAsync.Pattern() + `)$`),
	RespondSync:  regexp.MustCompile(`^(?:` + RespondSync.Pattern() + `)$`),
}

// In reports whether a Prefer header has the preference. Only the two of this package are known.
func (p Preference) In(header string) bool {
	pattern := compiled[p]
	return pattern != nil && header != "" && pattern.MatchString(header)
}

// Wait is how long the client would wait for an answer: the preference wait, in seconds. It is 0 without one.
func Wait(headers []string) time.Duration {
	for _, header := range headers {
		for _, preference := range split(header) {
			name, value, _ := strings.Cut(preference, "=")
			value, _, _ = strings.Cut(value, ";")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err != nil {
				return 0
			}
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}

// Others is a Prefer header without what this package has acted on: respond-async, respond-sync and wait.
func Others(header string) string {
	var kept []string
	for _, preference := range split(header) {
		name, _, _ := strings.Cut(preference, ";")
		name, _, _ = strings.Cut(name, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "", string(RespondAsync), string(RespondSync), "wait":
		default:
			kept = append(kept, strings.TrimSpace(preference))
		}
	}
	return strings.Join(kept, ", ")
}

// split cuts a header at its commas, but for those in quotes.
func split(header string) []string {
	var out []string
	quoted, from := false, 0
	for i := 0; i < len(header); i++ {
		switch c := header[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			out = append(out, header[from:i])
			from = i + 1
		}
	}
	return append(out, header[from:])
}

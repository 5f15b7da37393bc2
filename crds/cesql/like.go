package cesql

import (
	"strings"
	"unicode/utf8"
)

// pattern is a compiled pattern of LIKE: the pieces between the '%'.
type pattern struct {
	// open says that there was a '%': the first piece begins the text, the last one ends it, and anything may be between. Without, the
	// only piece is the whole text.
	open   bool
	pieces []piece
}

// piece is what matches a run of characters: literal texts with single wild characters between and around them.
type piece struct {
	// literals[i] is followed by one wild character, but for the last.
	literals []string
}

// newPattern compiles a pattern: '%' is any text, '_' any character, and either is itself after a backslash.
func newPattern(source string) *pattern {
	p := &pattern{}
	var literal strings.Builder
	var current piece
	flush := func() {
		current.literals = append(current.literals, literal.String())
		literal.Reset()
	}
	for i := 0; i < len(source); i++ {
		switch c := source[i]; {
		case c == '\\' && i+1 < len(source) && (source[i+1] == '%' || source[i+1] == '_'):
			i++
			literal.WriteByte(source[i])
		case c == '_':
			flush()
		case c == '%':
			flush()
			p.open = true
			p.pieces = append(p.pieces, current)
			current = piece{}
		default:
			literal.WriteByte(c)
		}
	}
	flush()
	p.pieces = append(p.pieces, current)
	return p
}

// match reports whether the whole text matches.
func (p *pattern) match(s string) bool {
	first := p.pieces[0]
	length := first.prefixOf(s)
	if length < 0 {
		return false
	}
	s = s[length:]
	if !p.open {
		return s == ""
	}
	last := p.pieces[len(p.pieces)-1]
	start := last.suffixOf(s)
	if start < 0 {
		return false
	}
	s = s[:start]
	for _, middle := range p.pieces[1 : len(p.pieces)-1] {
		// The leftmost place leaves most to those that follow.
		behind := middle.find(s)
		if behind < 0 {
			return false
		}
		s = s[behind:]
	}
	return true
}

// prefixOf is how many bytes of s the piece matches from its start, or -1.
func (p piece) prefixOf(s string) int {
	at := 0
	for i, literal := range p.literals {
		if i > 0 {
			_, size := utf8.DecodeRuneInString(s[at:])
			if size == 0 {
				return -1
			}
			at += size
		}
		if !strings.HasPrefix(s[at:], literal) {
			return -1
		}
		at += len(literal)
	}
	return at
}

// suffixOf is where in s the piece begins that matches up to the end, or -1.
func (p piece) suffixOf(s string) int {
	for i := len(p.literals) - 1; i >= 0; i-- {
		if !strings.HasSuffix(s, p.literals[i]) {
			return -1
		}
		s = s[:len(s)-len(p.literals[i])]
		if i > 0 {
			_, size := utf8.DecodeLastRuneInString(s)
			if size == 0 {
				return -1
			}
			s = s[:len(s)-size]
		}
	}
	return len(s)
}

// find is behind the leftmost place in s that the piece matches, or -1.
func (p piece) find(s string) int {
	for from := 0; from <= len(s); {
		// Only where the first literal is can the piece be.
		skip := strings.Index(s[from:], p.literals[0])
		if skip < 0 {
			return -1
		}
		from += skip
		if length := p.prefixOf(s[from:]); length >= 0 {
			return from + length
		}
		_, size := utf8.DecodeRuneInString(s[from:])
		from += max(size, 1)
	}
	return -1
}

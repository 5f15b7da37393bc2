package cesql

import (
	"strings"
	"unicode/utf8"
)

// kind is what a token is.
type kind uint8

const (
	end kind = iota
	word
	number
	text
	symbol
)

// token is one word of an expression. Its text is upper case for words and symbols, the value for strings, the digits for numbers.
type token struct {
	kind kind
	text string
	// raw is the token as written.
	raw string
	at  place
}

// place is where something is: an offset in bytes from 0, line and column from 1, columns in characters.
type place struct{ offset, line, column int }

// after is the place behind the text that stands at p.
func (p place) after(text string) place {
	p.offset += len(text)
	if lines := strings.Count(text, "\n"); lines > 0 {
		p.line += lines
		p.column = 1
		text = text[strings.LastIndexByte(text, '\n')+1:]
	}
	p.column += utf8.RuneCountInString(text)
	return p
}

// is reports whether the token is that keyword or symbol.
func (t token) is(text string) bool { return (t.kind == word || t.kind == symbol) && t.text == text }

// keywords cannot be names of attributes.
var keywords = map[string]bool{
	"AND": true, "OR": true, "XOR": true, "NOT": true, "LIKE": true, "EXISTS": true, "IN": true, "TRUE": true, "FALSE": true,
}

// scan splits an expression into tokens; the last one is the end.
func scan(source string) ([]token, error) {
	at := place{line: 1, column: 1}
	if i := invalidUTF8(source); i >= 0 {
		return nil, syntaxError(at.after(source[:i]), "text in UTF-8", "bytes that are not")
	}
	var tokens []token
	for at.offset < len(source) {
		rest := source[at.offset:]
		if strings.IndexByte(" \t\r\n", rest[0]) >= 0 {
			at = at.after(rest[:1])
			continue
		}
		next, err := scanToken(rest, at)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, next)
		at = at.after(next.raw)
	}
	return append(tokens, token{kind: end, at: at}), nil
}

// scanToken reads the token that source begins with.
func scanToken(source string, at place) (token, error) {
	switch c := source[0]; {
	case c == '\'' || c == '"':
		return scanString(source, at)
	case isWord(c) && c != '_':
		return scanWord(source, at), nil
	}
	for _, s := range []string{"!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/", "%"} {
		if strings.HasPrefix(source, s) {
			return token{kind: symbol, text: s, raw: s, at: at}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(source)
	return token{}, syntaxError(at, "an attribute, a literal, a function or an operator", quote(string(r)))
}

func scanWord(source string, at place) token {
	digits, i := true, 0
	for ; i < len(source) && isWord(source[i]); i++ {
		digits = digits && isDigit(source[i])
	}
	raw := source[:i]
	if digits {
		return token{kind: number, text: raw, raw: raw, at: at}
	}
	return token{kind: word, text: strings.ToUpper(raw), raw: raw, at: at}
}

// scanString reads a literal. A backslash before the delimiter stands for the delimiter; any other is kept with what follows it, since
// patterns of LIKE give it a meaning.
func scanString(source string, at place) (token, error) {
	delimiter := source[0]
	var value strings.Builder
	for i := 1; i < len(source); i++ {
		switch c := source[i]; {
		case c == '\\' && i+1 < len(source):
			i++
			if source[i] != delimiter {
				value.WriteByte(c)
			}
			value.WriteByte(source[i])
		case c == delimiter:
			if i+1 < len(source) && source[i+1] == delimiter {
				// SQL's doubled quote is in the grammar but not in the specification, and means something else to each engine.
				return token{}, syntaxError(at.after(source[:i]), "a quote within a string to be written \\"+string(delimiter), "it doubled")
			}
			return token{kind: text, text: value.String(), raw: source[:i+1], at: at}, nil
		default:
			value.WriteByte(c)
		}
	}
	return token{}, syntaxError(at.after(source), "the string to end with "+string(delimiter), "the end of the expression")
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isWord(c byte) bool { return isDigit(c) || isLetter(c) || c == '_' }

// invalidUTF8 is the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			return i
		}
	}
	return -1
}

func syntaxError(at place, expected, found string) *SyntaxError {
	return &SyntaxError{Offset: at.offset, Line: at.line, Column: at.column, Expected: expected, Found: found}
}

// quote shows a piece of an expression, cut to a length that fits a message.
func quote(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return "\"" + s + "\""
}

package attribute

import "strconv"

// Type is what a Value is.
type Type uint8

// The types of CloudEvents SQL; Missing is the Value of an attribute that the event does not have.
const (
	Missing Type = iota
	String
	Integer
	Boolean
)

// String names the type as the CloudEvents SQL specification does.
func (t Type) String() string {
	switch t {
	case String:
		return "String"
	case Integer:
		return "Integer"
	case Boolean:
		return "Boolean"
	default:
		return "Missing"
	}
}

// Value is a string, a 32-bit integer or a boolean; its zero value is that of a missing attribute.
type Value struct {
	text   string
	number int32
	typ    Type
}

// Text is a Value of type String.
func Text(s string) Value { return Value{typ: String, text: s} }

// Number is a Value of type Integer.
func Number(n int32) Value { return Value{typ: Integer, number: n} }

// Truth is a Value of type Boolean.
func Truth(b bool) Value {
	if b {
		return Value{typ: Boolean, number: 1}
	}
	return Value{typ: Boolean}
}

// Type is the value's type.
func (v Value) Type() Type { return v.typ }

// String casts to String, which always succeeds; of a missing value it is empty.
func (v Value) String() string {
	switch v.typ {
	case Integer:
		return strconv.Itoa(int(v.number))
	case Boolean:
		return strconv.FormatBool(v.number != 0)
	default:
		return v.text
	}
}

// Integer casts to Integer and reports whether it could; a boolean is 1 or 0.
func (v Value) Integer() (int32, bool) {
	switch v.typ {
	case String:
		return ParseInteger(v.text)
	case Integer, Boolean:
		return v.number, true
	default:
		return 0, false
	}
}

// Boolean casts to Boolean and reports whether it could; an integer is true unless it is 0.
func (v Value) Boolean() (value, ok bool) {
	switch v.typ {
	case String:
		return ParseBoolean(v.text)
	case Integer, Boolean:
		return v.number != 0, true
	default:
		return false, false
	}
}

// ParseInteger reads a 32-bit decimal integer with an optional sign and reports whether s is one.
func ParseInteger(s string) (int32, bool) {
	digits, negative := s, false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		digits, negative = s[1:], s[0] == '-'
	}
	if digits == "" {
		return 0, false
	}
	// -2147483648 has no positive counterpart, so the sum is kept wide.
	limit, sum := int64(1)<<31-1, int64(0)
	if negative {
		limit++
	}
	for i := 0; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
		if sum = sum*10 + int64(digits[i]-'0'); sum > limit {
			return 0, false
		}
	}
	if negative {
		sum = -sum
	}
	return int32(sum), true
}

// ParseBoolean reads "true" or "false" in any case and reports whether s is one.
func ParseBoolean(s string) (value, ok bool) {
	switch {
	case equalASCII(s, "true"):
		return true, true
	case equalASCII(s, "false"):
		return false, true
	default:
		return false, false
	}
}

// equalASCII reports whether s is lower but for the case of ASCII letters.
func equalASCII(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

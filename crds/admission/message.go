package admission

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Message returns the refusal of an object, one line for each error: "Service default/shop: spec.traffic[1].percent: 30 + 80 = 110,
// must add up to 100". Without errors it is "".
func Message(kind, namespace, name string, errs field.ErrorList) string {
	key := Key(kind, namespace, name)
	lines := make([]string, 0, len(errs))
	for _, err := range errs {
		line := key + ": " + err.Field + ": " + body(err)
		if len(lines) == 0 || lines[len(lines)-1] != line {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// Key names an object in messages: "Service default/shop".
func Key(kind, namespace, name string) string {
	if namespace == "" {
		return kind + " " + name
	}
	return kind + " " + namespace + "/" + name
}

func body(err *field.Error) string {
	switch err.Type {
	case field.ErrorTypeRequired:
		return joined("missing", err.Detail)
	case field.ErrorTypeForbidden:
		return err.Detail
	case field.ErrorTypeDuplicate:
		return joined(shown(err.BadValue)+" is there already", "choose another")
	case field.ErrorTypeNotSupported:
		return joined(shown(err.BadValue), "must be one of "+strings.TrimPrefix(err.Detail, "supported values: "))
	case field.ErrorTypeTooMany, field.ErrorTypeTooLong:
		return err.Detail
	default:
		return joined(shown(err.BadValue), err.Detail)
	}
}

func joined(what, remedy string) string {
	switch {
	case what == "":
		return remedy
	case remedy == "":
		return what
	}
	return what + ", " + remedy
}

// maxShown is how much of a value a message repeats.
const maxShown = 120

func shown(value any) string {
	switch v := value.(type) {
	case nil, field.OmitValueType:
		return ""
	case fmt.Stringer:
		return cut(strconv.Quote(v.String()))
	case string:
		return cut(strconv.Quote(v))
	}
	text := fmt.Sprint(value)
	if _, err := strconv.ParseFloat(text, 64); err != nil && text != "true" && text != "false" {
		text = strconv.Quote(text)
	}
	return cut(text)
}

func cut(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
}

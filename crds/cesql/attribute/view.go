package attribute

import (
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// known is a context attribute of the specification; extension is any other name.
type known uint8

const (
	extension known = iota
	specVersion
	id
	source
	typ
	subject
	timestamp
	dataSchema
	dataContentType
	mediaType
	numKnown
	// nothing is a name that no attribute can have.
	nothing known = 255
)

// listed are the attributes in the order Each reports them.
var listed = []struct {
	known
	name string
}{
	{specVersion, "specversion"}, {id, "id"}, {source, "source"}, {typ, "type"}, {subject, "subject"}, {timestamp, "time"},
	{dataSchema, "dataschema"}, {dataContentType, "datacontenttype"},
}

// Name is an attribute's name, resolved once.
type Name struct {
	text  string
	known known
}

// Resolve looks the name up among the attributes of the specification; any other is an extension's.
func Resolve(name string) Name {
	for _, attribute := range listed {
		if attribute.name == name {
			return Name{text: name, known: attribute.known}
		}
	}
	if name == "data" {
		return Name{text: name, known: nothing}
	}
	return Name{text: name}
}

// ResolveLegacy is Resolve with the two further names that filters of Triggers know: schemaurl for dataschema, and datamediatype for the
// datacontenttype without parameters.
func ResolveLegacy(name string) Name {
	switch name {
	case "schemaurl":
		return Name{text: "dataschema", known: dataSchema}
	case "datamediatype":
		return Name{text: name, known: mediaType}
	default:
		return Resolve(name)
	}
}

// String is the name.
func (n Name) String() string { return n.text }

// Textual reports whether the attribute is a string whenever it is there: extensions may be integers and booleans.
func (n Name) Textual() bool { return n.known != extension && n.known != nothing }

// Listed reports whether Each reports the attribute.
func (n Name) Listed() bool { return n.known != mediaType && n.known != nothing }

// View reads the attributes of one event and remembers those that take work to read. It is for one goroutine at a time.
type View struct {
	context    event.EventContext
	extensions map[string]any
	texts      [numKnown]string
	loaded     [numKnown]bool
}

// Reset turns the view to another event; nil has no attributes.
func (v *View) Reset(e *event.Event) {
	*v = View{}
	if e == nil || e.Context == nil {
		return
	}
	v.context = e.Context
	if v1, ok := e.Context.(*event.EventContextV1); ok {
		// The getter would copy the map.
		v.extensions = v1.Extensions
		return
	}
	v.extensions = e.Context.GetExtensions()
}

// Get is the attribute's value, of type Missing if the event does not have it.
func (v *View) Get(name Name) Value {
	if name.known == extension {
		return extensionValue(v.extensions[name.text])
	}
	text, ok := v.knownText(name.known)
	if !ok {
		return Value{}
	}
	return Text(text)
}

// Text is the attribute's canonical text and whether the event has it.
func (v *View) Text(name Name) (string, bool) {
	if name.known != extension {
		return v.knownText(name.known)
	}
	raw, ok := v.extensions[name.text]
	if text, isText := raw.(string); isText {
		return text, true
	}
	value := extensionValue(raw)
	return value.String(), ok && value.typ != Missing
}

// Each reports the attributes the event has, with their canonical texts.
func (v *View) Each(report func(name, text string)) {
	for _, attribute := range listed {
		if text, ok := v.knownText(attribute.known); ok {
			report(attribute.name, text)
		}
	}
	for name := range v.extensions {
		// An extension cannot hide an attribute of the specification.
		if resolved := Resolve(name); resolved.known == extension {
			if text, ok := v.Text(resolved); ok {
				report(name, text)
			}
		}
	}
}

// knownText is the text of an attribute of the specification and whether the event has it. Required ones are always there, optional ones
// unless empty.
func (v *View) knownText(k known) (string, bool) {
	if k >= numKnown || v.context == nil {
		return "", false
	}
	if !v.loaded[k] {
		v.texts[k], v.loaded[k] = read(v.context, k), true
	}
	return v.texts[k], k <= typ || v.texts[k] != ""
}

func read(context event.EventContext, k known) string {
	switch k {
	case specVersion:
		return context.GetSpecVersion()
	case id:
		return context.GetID()
	case source:
		return context.GetSource()
	case typ:
		return context.GetType()
	case subject:
		return context.GetSubject()
	case timestamp:
		if t := context.GetTime(); !t.IsZero() {
			return t.Format(time.RFC3339Nano)
		}
	case dataSchema:
		return context.GetDataSchema()
	case dataContentType:
		return context.GetDataContentType()
	case mediaType:
		// An unreadable media type is none.
		if media, err := context.GetDataMediaType(); err == nil {
			return media
		}
	}
	return ""
}

// extensionValue is an extension's value in the types of filters; what is of no CloudEvents type is missing.
func extensionValue(raw any) Value {
	switch raw := raw.(type) {
	case nil:
		return Value{}
	case string:
		return Text(raw)
	case int32:
		return Number(raw)
	case bool:
		return Truth(raw)
	case types.Timestamp:
		return Text(raw.Format(time.RFC3339Nano))
	case time.Time:
		return Text(raw.Format(time.RFC3339Nano))
	}
	valid, err := types.Validate(raw)
	if err != nil {
		return Value{}
	}
	switch valid := valid.(type) {
	case int32:
		return Number(valid)
	case bool:
		return Truth(valid)
	case string:
		return Text(valid)
	case types.Timestamp:
		return Text(valid.Format(time.RFC3339Nano))
	}
	text, err := types.Format(valid)
	if err != nil {
		return Value{}
	}
	return Text(text)
}

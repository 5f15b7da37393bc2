package attribute_test

import (
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"ebb.dev/ebb/crds/cesql/attribute"
)

func TestExtensionsHaveTheTypesAndTextsOfTheSpecification(t *testing.T) {
	link, err := url.Parse("https://example.com/a?b=c")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 5, 6, 7, 8, 9, 10, time.FixedZone("", -3600))
	e := event.New()
	for name, c := range map[string]struct {
		value any
		want  attribute.Value
	}{
		"text":   {"x", attribute.Text("x")},
		"small":  {int32(math.MinInt32), attribute.Number(math.MinInt32)},
		"int":    {7, attribute.Number(7)},
		"truth":  {false, attribute.Truth(false)},
		"bytes":  {[]byte{1, 2}, attribute.Text("AQI=")},
		"uri":    {types.URI{URL: *link}, attribute.Text("https://example.com/a?b=c")},
		"uriref": {types.URIRef{URL: *link}, attribute.Text("https://example.com/a?b=c")},
		"time":   {types.Timestamp{Time: at}, attribute.Value{}},
		"when":   {types.Timestamp{Time: at}, attribute.Text("2024-05-06T07:08:09.00000001-01:00")},
		"data":   {"hidden", attribute.Value{}},
	} {
		context := e.Context.(*event.EventContextV1)
		context.Extensions = map[string]any{name: c.value}
		var v attribute.View
		v.Reset(&e)
		if got := v.Get(attribute.Resolve(name)); got != c.want {
			t.Errorf("%s is %v %q, want %v %q", name, got.Type(), got, c.want.Type(), c.want)
		}
		text, ok := v.Text(attribute.Resolve(name))
		if ok != (c.want.Type() != attribute.Missing) || text != c.want.String() {
			t.Errorf("the text of %s is %q, %t", name, text, ok)
		}
		listed := false
		v.Each(func(n, text string) { listed = listed || n == name && text == c.want.String() })
		if listed != ok {
			t.Errorf("%s is listed: %t, want %t", name, listed, ok)
		}
	}
}

func TestAnOlderEventHasTheSameNames(t *testing.T) {
	e := event.New(event.CloudEventsVersionV03)
	e.SetID("1")
	e.SetSource("/a")
	e.SetType("t")
	e.SetDataSchema("https://example.com/s")
	e.SetExtension("region", "eu")
	var v attribute.View
	v.Reset(&e)
	for name, want := range map[string]string{"specversion": "0.3", "source": "/a", "dataschema": "https://example.com/s", "region": "eu"} {
		if got, _ := v.Text(attribute.Resolve(name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestIntegersHave32Bits(t *testing.T) {
	for text, want := range map[string]int32{
		"0": 0, "-0": 0, "+5": 5, "007": 7, "2147483647": math.MaxInt32, "-2147483648": math.MinInt32,
	} {
		if got, ok := attribute.ParseInteger(text); !ok || got != want {
			t.Errorf("%s is %d, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "-", "+", "2147483648", "-2147483649", "99999999999999999999999", "1.0", " 1", "1e3", "٣", "--1"} {
		if got, ok := attribute.ParseInteger(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestBooleansHaveAnyCaseAndNoOtherLetters(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "FALSE": false, "tRuE": true} {
		if got, ok := attribute.ParseBoolean(text); !ok || got != want {
			t.Errorf("%s is %t, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "1", "falſe", "true ", "yes"} {
		if _, ok := attribute.ParseBoolean(text); ok {
			t.Errorf("%q is a boolean", text)
		}
	}
}

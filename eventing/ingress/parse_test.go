package ingress

import (
	"bytes"
	"net/http"
	"testing"
)

func TestOldEventsBecomeNewOnes(t *testing.T) {
	events, err := Parse(http.Header{"Content-Type": {jsonType}},
		[]byte(`{"specversion":"0.3","id":"1","source":"/s","type":"t","schemaurl":"relative","datacontenttype":"text/plain","datacontentencoding":"base64","data":"aGVsbG8="}`))
	if err != nil {
		t.Fatal(err)
	}
	e := events[0]
	if e.SpecVersion() != "1.0" || string(e.Data()) != "hello" || e.Extensions()["datacontentencoding"] != nil || e.Extensions()["schemaurl"] != "relative" {
		t.Errorf("%v %q", e, e.Data())
	}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(jsonType, "", "", []byte(structured(`,"data":{"a":1},"ext":5,"time":"2026-01-02T03:04:05Z"`)))
	f.Add(jsonType, "", "", []byte(`{"specversion":"0.3","id":"1","source":"/s","type":"t","schemaurl":"x","datacontentencoding":"base64","data":"aGVsbG8="}`))
	f.Add(batchType, "", "", []byte("["+structured("")+",null]"))
	f.Add("text/plain", "1.0", "ext", []byte("hello"))
	f.Add("text/plain", "0.3", "My_ext", []byte{0xff})
	f.Fuzz(func(t *testing.T, media, version, name string, body []byte) {
		h := http.Header{"Content-Type": {media}}
		if version != "" {
			h.Set("Ce-Specversion", version)
			h.Set("Ce-Id", "1")
			h.Set("Ce-Source", "/s")
			h.Set("Ce-Type", "t")
			h.Set("Ce-"+name, "value")
		}
		sent := bytes.Clone(body)
		events, err := Parse(h, body)
		if !bytes.Equal(sent, body) {
			t.Fatal("the body was changed")
		}
		if err != nil && len(events) > 0 {
			t.Fatal("events with an error")
		}
		for _, e := range events {
			if e.SpecVersion() != "1.0" {
				t.Fatal(e)
			}
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

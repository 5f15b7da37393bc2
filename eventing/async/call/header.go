package call

import (
	"net/http"
	"net/textproto"
	"strings"

	"ebb.dev/ebb/crds/async"
)

// hopByHop are the headers of a connection, not of a message.
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true, "Te": true,
	"Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Content-Length": true, "Expect": true,
}

// own are headers that a request gets anew with each attempt.
var own = map[string]bool{"X-Request-Id": true, "X-Envoy-Expected-Rq-Timeout-Ms": true, "X-Envoy-Upstream-Rq-Timeout-Ms": true}

// Kept are the headers of a message that outlive its connection.
func Kept(h http.Header) http.Header {
	named := map[string]bool{}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			named[textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	out := make(http.Header, len(h))
	for name, values := range h {
		if !hopByHop[name] && !named[name] {
			out[name] = values
		}
	}
	return out
}

// KeptOfRequest are those of a client's request that the app is to get: without what was said to this room.
func KeptOfRequest(h http.Header) http.Header {
	out := Kept(h)
	for name := range out {
		if own[name] || strings.HasPrefix(name, async.HeaderPrefix) || strings.HasPrefix(name, "X-Ebb-") {
			delete(out, name)
		}
	}
	others := async.Others(strings.Join(h.Values(async.PreferHeader), ","))
	delete(out, async.PreferHeader)
	if others != "" {
		out[async.PreferHeader] = []string{others}
	}
	return out
}

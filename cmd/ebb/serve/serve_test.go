package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// page serves until the test or the function returned ends it, and says where; what HTTP returned comes out of the channel.
func page(t *testing.T, handler http.HandlerFunc, o Options) (address string, end func(), ended chan error) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	listener, err := Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() { ended <- HTTP(ctx, listener, handler, o) }()
	return listener.Addr().String(), end, ended
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

func TestASocketThatWasLeftBehindIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	listener, err := Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
}

func TestAnAddressThatCannotBeHadIsNamed(t *testing.T) {
	for _, address := range []string{"127.0.0.1:notaport", "unix:" + filepath.Join(t.TempDir(), "none", "s")} {
		if _, err := Listen(t.Context(), address); err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", address, err)
		}
		if err := ListenHTTP(t.Context(), address, http.NotFoundHandler(), Options{}); err == nil {
			t.Errorf("%s is served", address)
		}
	}
}

func TestWhatIsUnderWayHasItsGrace(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	address, end, ended := page(t, func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-goOn
		_, _ = io.WriteString(w, "done")
	}, Options{Grace: time.Minute})
	answers := make(chan string, 1)
	go func() {
		_, body, err := get(t, http.DefaultClient, "http://"+address)
		if err != nil {
			body = err.Error()
		}
		answers <- body
	}()
	<-began
	end()
	// The listener is closed before the wait begins: who comes now is refused.
	for {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case err := <-ended:
		t.Fatalf("ended while a request was under way: %v", err)
	default:
	}
	close(goOn)
	if body := <-answers; body != "done" {
		t.Errorf("answer %q", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWithoutGraceWhatIsUnderWayIsBrokenOff(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Millisecond} {
		began := make(chan struct{})
		address, end, ended := page(t, func(_ http.ResponseWriter, r *http.Request) {
			close(began)
			<-r.Context().Done()
		}, Options{Grace: grace})
		answers := make(chan error, 1)
		go func() {
			_, _, err := get(t, &http.Client{Transport: &http.Transport{}}, "http://"+address)
			answers <- err
		}()
		<-began
		end()
		if err := <-answers; err == nil {
			t.Errorf("grace %s: it was answered", grace)
		}
		if err := <-ended; err != nil {
			t.Errorf("grace %s: %v", grace, err)
		}
	}
}

func TestAListenerThatFailsIsTold(t *testing.T) {
	listener, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := HTTP(t.Context(), listener, http.NotFoundHandler(), Options{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestAContextThatHasEndedServesNothing(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	listener, err := Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	end()
	if err := HTTP(ctx, listener, http.NotFoundHandler(), Options{Grace: time.Minute}); err != nil {
		t.Error(err)
	}
}

func TestHTTP2WithoutTLSIsForThoseWhoAsk(t *testing.T) {
	for _, offered := range []bool{false, true} {
		address, end, ended := page(t, func(http.ResponseWriter, *http.Request) {}, Options{PlainHTTP2: offered})
		only2, only1 := &http.Transport{Protocols: &http.Protocols{}}, &http.Transport{}
		only2.Protocols.SetUnencryptedHTTP2(true)
		if response, _, err := get(t, &http.Client{Transport: only2}, "http://"+address); (err == nil && response.ProtoMajor == 2) != offered {
			t.Errorf("offered %t: %v, %v", offered, response, err)
		}
		if response, _, err := get(t, &http.Client{Transport: only1}, "http://"+address); err != nil || response.ProtoMajor != 1 {
			t.Errorf("offered %t: HTTP/1.1: %v, %v", offered, response, err)
		}
		only1.CloseIdleConnections()
		only2.CloseIdleConnections()
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestWithTLSItIsHTTPS(t *testing.T) {
	// The test server is there for its certificate, which its client trusts.
	lender := httptest.NewTLSServer(http.NotFoundHandler())
	defer lender.Close()
	certificate := lender.TLS.Certificates[0]
	address, end, ended := page(t, func(w http.ResponseWriter, _ *http.Request) { JSON(w, map[string]int{"n": 1}) }, Options{
		TLS: &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }},
	})
	response, body, err := get(t, lender.Client(), "https://"+address)
	if err != nil || body != "{\n  \"n\": 1\n}\n" || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%q, %v", body, err)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoJSONIsAnError(t *testing.T) {
	w := httptest.NewRecorder()
	JSON(w, make(chan int))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

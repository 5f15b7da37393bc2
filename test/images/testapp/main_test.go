package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func newServer(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer((&app{target: "you"}).handler())
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func body(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(b))
}

func TestThePathsAnswerAsDescribed(t *testing.T) {
	s := newServer(t)
	for path, want := range map[string]string{"/": "200 Hello you!\n", "/health": "200 ", "/status?code=418": "418 ", "/stream?n=2&ms=1": "200 line 0\nline 1\n", "/sleep?ms=1": "200 slept 1ms\n"} {
		resp, err := http.Get(s.URL + path)
		if got := body(t, resp, err); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	resp, err := http.Post(s.URL+"/digest", "", strings.NewReader("abc"))
	if got := body(t, resp, err); got != "200 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3\n" {
		t.Errorf("digest: %q", got)
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if resp, err := http.Get(s.URL + "/sleep?ms=200"); err == nil {
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	resp, err = http.Get(s.URL + "/max")
	if got := body(t, resp, err); got != "200 5\n" {
		t.Errorf("most at once: %q", got)
	}
}

func TestEventsAreAnsweredAsTheQuerySays(t *testing.T) {
	s := newServer(t)
	for query, want := range map[string]string{
		"?append=+two&type=c": "200 one two type c", "?only=a": "200 one type a", "?only=b": "200  type ",
	} {
		request, err := http.NewRequest(http.MethodPost, s.URL+"/event"+query, strings.NewReader("one"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Ce-Type", "a")
		resp, err := http.DefaultClient.Do(request)
		if got := body(t, resp, err); got+" type "+resp.Header.Get("Ce-Type") != want {
			t.Errorf("%s: %q of type %q, want %s", query, got, resp.Header.Get("Ce-Type"), want)
		}
	}
}

func TestStreamsEcho(t *testing.T) {
	s := newServer(t)
	host := strings.TrimPrefix(s.URL, "http://")
	ws, err := websocket.Dial("ws://"+host+"/ws", "", s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	var got string
	if err := websocket.Message.Send(ws, "hi"); err != nil {
		t.Fatal(err)
	}
	if err := websocket.Message.Receive(ws, &got); err != nil || got != "hi" {
		t.Errorf("WebSocket: %q, %v", got, err)
	}
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	out := &wrapperspb.BytesValue{}
	if err := conn.Invoke(t.Context(), "/ebb.test.Echo/Unary", wrapperspb.Bytes([]byte("one")), out); err != nil || string(out.Value) != "one" {
		t.Errorf("unary: %q, %v", out.Value, err)
	}
	stream, err := conn.NewStream(t.Context(), &echoService.Streams[0], "/ebb.test.Echo/Stream")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"a", "b"} {
		if err := stream.SendMsg(wrapperspb.Bytes([]byte(m))); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(out); err != nil || string(out.Value) != m {
			t.Errorf("stream: %q, %v", out.Value, err)
		}
	}
}

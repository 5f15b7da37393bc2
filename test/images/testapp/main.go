// Command testapp is one program with everything that tests ask of an app.
//
// HTTP/1.1, h2c and gRPC on $PORT (H2C=false: HTTP/1.1 alone; HTTP1=false: h2c alone).
//
//	/            Hello $TARGET!            /sleep?ms=      waits, then answers
//	/echo        the request as JSON       /digest         sha256 of the body, and its length
//	/ws          WebSocket echo            /status?code=   answers with that status
//	/stream?n=&ms=  n lines, ms apart      /max            most requests at once so far (?reset)
//	/crash?code= ends the process          /bloat?mb=      holds that much memory
//	/health      200, or 503 before READY_DELAY is over
//	/event?append=&type=&source=&only=  answers a CloudEvent with it: more data, another type; with no event if its type is not only's;
//	       reply= names an extension that gets what correlationid says
//
// gRPC: ebb.test.Echo/Unary and /Stream on google.protobuf.BytesValue, and the health service.
// START_DELAY waits before listening, FAIL=code ends at once, TERM_MODE=finish (default), abort or ignore says what SIGTERM does.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/websocket"
)

// app counts what it is doing.
type app struct {
	target  string
	ready   time.Time
	now     atomic.Int64 // requests at this moment
	most    atomic.Int64
	ballast [][]byte
}

func main() {
	if code := os.Getenv("FAIL"); code != "" {
		log.Println("failing as told")
		os.Exit(number(code, 1))
	}
	time.Sleep(duration("START_DELAY")) // the delay is the feature
	a := &app{target: cmp.Or(os.Getenv("TARGET"), "World"), ready: time.Now().Add(duration("READY_DELAY"))}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(os.Getenv("HTTP1") != "false")
	protocols.SetUnencryptedHTTP2(os.Getenv("H2C") != "false")
	server := &http.Server{Addr: ":" + cmp.Or(os.Getenv("PORT"), "8080"), Handler: a.handler(), Protocols: protocols}
	done := make(chan struct{})
	go a.awaitTerm(server, done)
	log.Println("listening on", server.Addr)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-done
}

// awaitTerm ends the server as TERM_MODE says.
func (a *app) awaitTerm(server *http.Server, done chan<- struct{}) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	for range term {
		log.Println("SIGTERM with", a.now.Load(), "requests under way")
		switch os.Getenv("TERM_MODE") {
		case "ignore":
			continue
		case "abort":
			os.Exit(143)
		}
		if err := server.Shutdown(context.Background()); err != nil {
			log.Println("shutdown:", err)
		}
		close(done)
		return
	}
}

func duration(name string) time.Duration {
	d, err := time.ParseDuration(cmp.Or(os.Getenv(name), "0s"))
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return d
}

func number(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return otherwise
}

func query(r *http.Request, key string, otherwise int) int {
	return number(r.URL.Query().Get(key), otherwise)
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "Hello %s!\n", a.target) })
	mux.HandleFunc("/health", a.health)
	mux.HandleFunc("/sleep", sleep)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/digest", digest)
	mux.HandleFunc("/event", event)
	mux.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(query(r, "code", http.StatusOK)) })
	mux.HandleFunc("/stream", stream)
	mux.HandleFunc("/crash", func(_ http.ResponseWriter, r *http.Request) { os.Exit(query(r, "code", 1)) })
	mux.HandleFunc("/bloat", a.bloat)
	mux.Handle("/ws", websocket.Server{Handler: func(c *websocket.Conn) { io.Copy(c, c) }}) // no handshake check: tests come from anywhere
	counted := a.count(mux)
	rpc := newGRPC()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/max":
			a.max(w, r)
		case r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
			a.count(rpc).ServeHTTP(w, r)
		default:
			counted.ServeHTTP(w, r)
		}
	})
}

// count keeps the number of requests under way, and the most there ever were.
func (a *app) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := a.now.Add(1)
		defer a.now.Add(-1)
		for {
			most := a.most.Load()
			if n <= most || a.most.CompareAndSwap(most, n) {
				break
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (a *app) max(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("reset") {
		fmt.Fprintln(w, a.most.Swap(a.now.Load()))
		return
	}
	fmt.Fprintln(w, a.most.Load())
}

func (a *app) health(w http.ResponseWriter, _ *http.Request) {
	if time.Now().Before(a.ready) {
		http.Error(w, "not yet", http.StatusServiceUnavailable)
	}
}

func sleep(w http.ResponseWriter, r *http.Request) {
	d := time.Duration(query(r, "ms", 100)) * time.Millisecond
	select {
	case <-time.After(d):
		fmt.Fprintln(w, "slept", d)
	case <-r.Context().Done():
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	host, _ := os.Hostname()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "path": r.URL.Path, "query": r.URL.RawQuery, "host": r.Host, "proto": r.Proto, "headers": r.Header,
		"body": string(body), "hostname": host, "pid": os.Getpid(),
	})
}

// event answers an event in binary mode with what the query makes of it.
func event(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if only := q.Get("only"); only != "" && only != r.Header.Get("Ce-Type") {
		return
	}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "Ce-") || name == "Content-Type" {
			w.Header()[name] = values
		}
	}
	if kind := q.Get("type"); kind != "" {
		w.Header().Set("Ce-Type", kind)
	}
	if source := q.Get("source"); source != "" {
		w.Header().Set("Ce-Source", source)
	}
	if reply := q.Get("reply"); reply != "" {
		w.Header().Set("Ce-"+reply, r.Header.Get("Ce-Correlationid"))
	}
	if _, err := io.Copy(w, r.Body); err == nil {
		fmt.Fprint(w, q.Get("append"))
	}
}

func digest(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%x %d\n", h.Sum(nil), n)
}

func stream(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	for i := range query(r, "n", 10) {
		fmt.Fprintln(w, "line", i)
		if control.Flush() != nil {
			return
		}
		select {
		case <-time.After(time.Duration(query(r, "ms", 100)) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
}

func (a *app) bloat(w http.ResponseWriter, r *http.Request) {
	for range query(r, "mb", 64) {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
		a.ballast = append(a.ballast, b)
	}
	fmt.Fprintln(w, len(a.ballast), "MB")
}

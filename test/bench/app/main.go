// Command app is what benchmarks run: it answers as cheaply as it can, and says when it listens.
//
//	/            Hello $TARGET!
//	/sleep?ms=   waits, then answers
//	POST /       takes an event
//	/received    how many events came since it began, and when the last did, in nanoseconds since 1970, as JSON
//
// BENCH_TELL=host:port gets one datagram with the host's name as soon as $PORT accepts connections. BENCH_RECEIPTS=host:port gets
// one for each event: its id, a blank and when it was here, in nanoseconds since 1970.
package main

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

func main() {
	listener, err := net.Listen("tcp", ":"+cmp.Or(os.Getenv("PORT"), "8080"))
	if err != nil {
		log.Fatal(err)
	}
	if to := os.Getenv("BENCH_TELL"); to != "" {
		tell(to)
	}
	hello := []byte("Hello " + cmp.Or(os.Getenv("TARGET"), "World") + "!\n")
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(hello); err != nil {
			log.Println("answer:", err)
		}
	})
	http.HandleFunc("/sleep", sleep)
	var all received
	http.HandleFunc("POST /{$}", receiver(os.Getenv("BENCH_RECEIPTS"), &all))
	http.HandleFunc("/received", all.tell)
	log.Fatal(http.Serve(listener, nil))
}

// tell says that we listen. Who is not there to hear it misses nothing that the app needs.
func tell(to string) {
	conn, err := net.Dial("udp", to)
	if err != nil {
		log.Println("tell:", err)
		return
	}
	defer conn.Close()
	name, _ := os.Hostname() // a datagram without a name says the same
	if _, err := conn.Write([]byte(name)); err != nil {
		log.Println("tell:", err)
	}
}

// received counts events.
type received struct{ count, last atomic.Int64 }

func (e *received) add(at time.Time) {
	e.count.Add(1)
	// Two that come at once may change places: they are as good as one time.
	e.last.Store(at.UnixNano())
}

func (e *received) tell(w http.ResponseWriter, _ *http.Request) {
	if _, err := fmt.Fprintf(w, `{"count":%d,"last":%d}`, e.count.Load(), e.last.Load()); err != nil {
		log.Println("answer:", err)
	}
}

// receiver takes events, and says so to an address if there is one.
func receiver(to string, all *received) http.HandlerFunc {
	say := func(string, time.Time) {}
	if to != "" {
		conn, err := net.Dial("udp", to)
		if err != nil {
			log.Fatal("receipts: ", err)
		}
		say = func(id string, at time.Time) {
			if _, err := fmt.Fprintf(conn, "%s %d", id, at.UnixNano()); err != nil {
				log.Println("receipts:", err)
			}
		}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		at := time.Now()
		all.add(at)
		w.WriteHeader(http.StatusAccepted)
		say(r.Header.Get("Ce-Id"), at)
	}
}

func sleep(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil || ms < 0 {
		http.Error(w, "ms must be a number of milliseconds", http.StatusBadRequest)
		return
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		fmt.Fprintln(w, "slept", ms, "ms")
	case <-r.Context().Done():
	}
}

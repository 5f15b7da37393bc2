// Command app is what benchmarks run: it answers as cheaply as it can, and says when it listens.
//
//	/            Hello $TARGET!
//	/sleep?ms=   waits, then answers
//
// BENCH_TELL=host:port gets one datagram with the host's name as soon as $PORT accepts connections.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
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

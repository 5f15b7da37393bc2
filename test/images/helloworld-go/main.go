// Command helloworld-go answers "Hello $TARGET!" on $PORT, as the public Knative sample does, and 200 on /health. It says in its log which
// CloudEvents it was sent; other requests are not worth a line, or load tests would measure the log.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	target := cmp.Or(os.Getenv("TARGET"), "World")
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("Ce-Id"); id != "" {
			log.Printf("received event %s of type %s", id, r.Header.Get("Ce-Type"))
		}
		fmt.Fprintf(w, "Hello %s!\n", target)
	})
	log.Fatal(http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), nil))
}

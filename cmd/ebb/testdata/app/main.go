// Command app is what runs in the pods of the platform's tests.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Println("serving")
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			fmt.Println("asked for", r.URL.Path)
			fmt.Fprintln(w, "hello from", os.Getenv("HOSTNAME"))
		})
		fmt.Println(http.ListenAndServe(":8080", nil))
		os.Exit(1)
	}
	var from io.ReadCloser
	var err error
	switch os.Args[1] {
	case "get":
		var resp *http.Response
		if resp, err = http.Get(os.Args[2]); err == nil {
			from = resp.Body
		}
	case "cat":
		from, err = os.Open(os.Args[2])
	default:
		err = fmt.Errorf("%q: neither get nor cat", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer from.Close()
	io.Copy(os.Stdout, from)
}

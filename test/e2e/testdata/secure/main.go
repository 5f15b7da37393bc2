// Command secure answers with who it would log in as: the credentials that its environment has.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s:%s\n", os.Getenv("DB_USERNAME"), os.Getenv("DB_PASSWORD"))
	})))
}

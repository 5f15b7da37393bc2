// Command eventfile prints the event that a JobSink gives a Job, the file $K_EVENT_PATH/event, and ends.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
)

func main() {
	data, err := os.ReadFile(filepath.Join(os.Getenv("K_EVENT_PATH"), "event"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("mode %s: %s\n", os.Getenv("K_EXECUTION_MODE"), data)
}

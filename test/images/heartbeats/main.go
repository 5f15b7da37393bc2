// Command heartbeats sends an event to $K_SINK every period, as the public sample of that name does: with the attributes of
// $K_CE_OVERRIDES, in binary mode. Flags: --period seconds, --label text, --once.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	period := flag.Float64("period", seconds(), "seconds between heartbeats")
	label := flag.String("label", "", "a text that is sent along")
	once := flag.Bool("once", os.Getenv("ONE_SHOT") == "true", "send one and end")
	flag.Parse()
	sink := os.Getenv("K_SINK")
	if sink == "" {
		log.Fatal("K_SINK is not set")
	}
	overrides, err := extensions(os.Getenv("K_CE_OVERRIDES"))
	if err != nil {
		log.Fatal(err)
	}
	for n := 1; ; n++ {
		err := beat(sink, *label, n, overrides)
		switch {
		case err != nil:
			log.Println("not sent:", err)
		case *once:
			return
		}
		time.Sleep(time.Duration(*period * float64(time.Second)))
	}
}

func seconds() float64 {
	s, err := strconv.ParseFloat(cmp.Or(os.Getenv("PERIOD"), "5"), 64)
	if err != nil {
		return 5
	}
	return s
}

// extensions reads K_CE_OVERRIDES.
func extensions(text string) (map[string]string, error) {
	var overrides struct{ Extensions map[string]string }
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &overrides); err != nil {
		return nil, fmt.Errorf("K_CE_OVERRIDES %q: %w", text, err)
	}
	return overrides.Extensions, nil
}

// beat sends the n-th one; the receiver has taken it when it returns without an error.
func beat(sink, label string, n int, overrides map[string]string) error {
	data, err := json.Marshal(map[string]any{"id": n, "label": label})
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, sink, bytes.NewReader(data))
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	for name, value := range map[string]string{
		"Specversion": "1.0", "Type": "dev.knative.eventing.samples.heartbeat", "Id": fmt.Sprintf("%s-%d", host, n),
		"Source": "https://knative.dev/eventing/cmd/heartbeats/#" + cmp.Or(os.Getenv("POD_NAMESPACE"), "default") + "/" + cmp.Or(os.Getenv("POD_NAME"), host),
	} {
		request.Header.Set("Ce-"+name, value)
	}
	for name, value := range overrides {
		request.Header.Set("Ce-"+name, value)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := (&http.Client{Timeout: 30 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err != nil {
		return err
	}
	if response.StatusCode > 299 {
		return fmt.Errorf("%s answered %d: %s", sink, response.StatusCode, text)
	}
	return nil
}

package testbed

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// askTimeout is beyond any cold start that is worth measuring.
const askTimeout = time.Minute

// Ask sends one request on a connection of its own and reads the answer whole.
func Ask(address, host, path string) (took time.Duration, err error) {
	begin := time.Now()
	_, err = ask(address, host, path)
	return time.Since(begin), err
}

// AskJSON reads what a service answers into a value.
func (b *Bed) AskJSON(service, path string, into any) error {
	body, err := ask(b.Gateway(), b.URLHost(service), path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func ask(address, host, path string) (body []byte, err error) {
	conn, err := net.DialTimeout("tcp", address, askTimeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s answered %s: %.200s", host, path, response.Status, body)
	}
	return body, err
}

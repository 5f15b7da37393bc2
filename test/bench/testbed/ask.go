package testbed

import (
	"bufio"
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
	conn, err := net.DialTimeout("tcp", address, askTimeout)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(begin.Add(askTimeout)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	took = time.Since(begin)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s answered %s: %.200s", host, path, response.Status, body)
	}
	return took, err
}

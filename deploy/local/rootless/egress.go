package rootless

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialTimeout bounds one dial outside; askTimeout how long a client may take to say what it wants.
	dialTimeout = 30 * time.Second
	askTimeout  = 5 * time.Second
	// longest request and answer, in bytes.
	maxMessage = 1024
)

// networks that may be asked for.
var networks = map[string]bool{"tcp": true, "tcp4": true, "tcp6": true, "udp": true}

// ServeEgress answers on l until it is closed: a line "NETWORK ADDRESS" is answered with "ok" and a connected descriptor, or with "error"
// and why. Whoever can open the socket can connect wherever this process can; its folder is the user's alone.
func ServeEgress(l *net.UnixListener) error {
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go answer(conn)
	}
}

func answer(conn *net.UnixConn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(askTimeout))
	line, err := bufio.NewReaderSize(conn, maxMessage).ReadSlice('\n')
	if err != nil {
		return
	}
	file, err := dialFor(string(line))
	if err != nil {
		fmt.Fprintf(conn, "error %.*s\n", maxMessage-16, err.Error())
		return
	}
	defer file.Close()
	conn.WriteMsgUnix([]byte("ok\n"), unix.UnixRights(int(file.Fd())), nil) //nolint:errcheck // a client that has gone needs no answer
}

// parseRequest splits "NETWORK ADDRESS\n".
func parseRequest(line string) (network, address string, err error) {
	network, address, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if !ok || !networks[network] {
		return "", "", fmt.Errorf("%q: want NETWORK ADDRESS", line)
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return "", "", err
	}
	return network, address, nil
}

func dialFor(line string) (*os.File, error) {
	network, address, err := parseRequest(line)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout(network, address, dialTimeout)
	if err != nil {
		return nil, err
	}
	// File duplicates the descriptor; the connection lives on in whoever gets it.
	defer conn.Close()
	switch c := conn.(type) {
	case *net.TCPConn:
		return c.File()
	case *net.UDPConn:
		return c.File()
	}
	return nil, fmt.Errorf("%s: no descriptor", network)
}

// Dial connects to address through the Egress at socket. It fits http.Transport.DialContext with the socket bound.
func Dial(ctx context.Context, socket, network, address string) (net.Conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	conn := raw.(*net.UnixConn)
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := fmt.Fprintf(conn, "%s %s\n", network, address); err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	text, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(text, oob)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	if why, failed := strings.CutPrefix(strings.TrimSpace(string(text[:n])), "error "); failed {
		return nil, fmt.Errorf("dial %s %s: %s", network, address, why)
	}
	return received(oob[:oobn])
}

// received turns the descriptor of a control message into a connection.
func received(oob []byte) (net.Conn, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, errors.New("egress: answer without a connection")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("egress: answer without a connection")
	}
	unix.CloseOnExec(fds[0])
	file := os.NewFile(uintptr(fds[0]), "egress")
	defer file.Close()
	return net.FileConn(file)
}

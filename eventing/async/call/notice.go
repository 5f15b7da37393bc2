package call

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// noticeTimeout bounds one notice.
	noticeTimeout = 30 * time.Second
	// drainBytes are as much of a receiver's answer as is read to use its connection again.
	drainBytes = 64 << 10
)

// Headers of a signed notice, as Standard Webhooks names them.
const (
	idHeader        = "Webhook-Id"
	timestampHeader = "Webhook-Timestamp"
	signatureHeader = "Webhook-Signature"
	// secretPrefix begins keys that are written in base64.
	secretPrefix = "whsec_"
)

// Sign is the signature of a notice. The key is the secret itself, or, after whsec_, its base64.
func Sign(secret []byte, id string, at time.Time, body []byte) string {
	key := secret
	if encoded, ok := strings.CutPrefix(strings.TrimSpace(string(secret)), secretPrefix); ok {
		if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			key = decoded
		}
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// NotifierOptions say how to reach receivers.
type NotifierOptions struct {
	// Route says where requests for a URL go: an address to dial, or "" for the URL's own host.
	Route func(*url.URL) (dial string)
	// Loopback lets receivers be on this machine; without it they are refused, as link-local addresses are: what listens there trusts who is.
	Loopback bool
	Now      func() time.Time
}

// Notifier tells receivers.
type Notifier struct {
	options NotifierOptions
	client  *http.Client
}

// Notice is what to tell.
type Notice struct {
	URL string
	// ID is the same for each attempt of one notice.
	ID     string
	Header http.Header
	Body   []byte
	// Secret is the key of the signature.
	Secret []byte
}

// NewNotifier makes a Notifier.
func NewNotifier(o NotifierOptions) *Notifier {
	if o.Now == nil {
		o.Now = time.Now
	}
	guarded := &net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error { return allowed(address, o.Loopback) }}
	plain := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if o.Route != nil {
				if dial := o.Route(&url.URL{Scheme: "http", Host: address}); dial != "" {
					return plain.DialContext(ctx, network, dial)
				}
			}
			return guarded.DialContext(ctx, network, address)
		},
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
	}
	return &Notifier{options: o, client: &http.Client{
		Transport: transport, Timeout: noticeTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// allowed refuses addresses that are for this machine or its link alone.
func allowed(address string, loopback bool) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	ip := at.Addr().Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || (ip.IsLoopback() && !loopback) {
		return fmt.Errorf("%s is no address that is told", ip)
	}
	return nil
}

// Tell sends a notice once. It reports why it was not taken, and whether the receiver wants none any more (410).
func (n *Notifier) Tell(ctx context.Context, notice Notice) (gone bool, err error) {
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, notice.URL, bytes.NewReader(notice.Body))
	if err != nil {
		return true, err
	}
	out.Header = notice.Header.Clone()
	now := n.options.Now()
	out.Header.Set(idHeader, notice.ID)
	out.Header.Set(timestampHeader, strconv.FormatInt(now.Unix(), 10))
	out.Header.Set(signatureHeader, Sign(notice.Secret, notice.ID, now, notice.Body))
	response, err := n.client.Do(out)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, drainBytes)
	if response.StatusCode >= 200 && response.StatusCode <= 299 {
		return false, nil
	}
	return response.StatusCode == http.StatusGone, fmt.Errorf("the receiver answered %d", response.StatusCode)
}

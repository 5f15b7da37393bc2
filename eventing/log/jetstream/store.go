package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"ebb.dev/ebb/eventing/log"
)

// What one page of messages is at most.
const (
	pageMessages = 256
	pageBytes    = 1 << 20
)

var (
	// errConflict: another process has written to the stream since.
	errConflict = errors.New("another process writes to the stream")
	// errGone: the message is not kept any more, or not there yet.
	errGone = errors.New("no such message")
)

// Codes of JetStream's API that its client does not name.
const (
	codeInsufficientResources = 10023
	codeMaximumMessages       = 10077
	codeStorageExceeded       = 10047
)

// store speaks to JetStream about streams that have one subject each. Writing has a connection of its own, so that it does not queue
// behind pages.
type store struct {
	write, read *nats.Conn
	js          js.JetStream
	timeout     time.Duration
	// shared is whether other processes can reach the streams.
	shared bool
	// pages bounds how many pages are in memory at once.
	pages chan struct{}
}

// message is one stored message.
type message struct {
	seq  uint64
	data []byte
}

// publish stores a message that follows the one with sequence last, and returns its own. The client's function for it would encode and
// decode more; this is on the way of every event.
//
// The server checks what it follows if somebody else may write: elsewhere always; in this process, whose folder is locked, only after a
// publish whose answer did not come (sure is false then), which is in front of this one on the same connection.
func (s *store) publish(subject string, last uint64, sure bool, data []byte) (uint64, error) {
	m := &nats.Msg{Subject: subject, Data: data}
	if s.shared || !sure {
		m.Header = nats.Header{js.ExpectedLastSeqHeader: {strconv.FormatUint(last, 10)}}
	}
	reply, err := s.write.RequestMsg(m, s.timeout)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", log.ErrUnavailable, err)
	}
	if seq, ok := acknowledged(reply.Data); ok {
		return seq, nil
	}
	var ack struct {
		Error *js.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Error == nil {
		return 0, fmt.Errorf("%w: answer to a publish: %q", log.ErrUnavailable, reply.Data)
	}
	switch ack.Error.ErrorCode {
	case js.JSErrCodeStreamWrongLastSequence, js.JSErrCodeStreamWrongLastSequenceConstant:
		return 0, errConflict
	case js.JSErrCodeStreamNotFound:
		return 0, log.ErrUnknown
	case codeInsufficientResources, codeMaximumMessages, codeStorageExceeded:
		return 0, fmt.Errorf("%w: %s", log.ErrFull, ack.Error.Description)
	}
	return 0, fmt.Errorf("%w: %s", log.ErrUnavailable, ack.Error.Description)
}

// acknowledged reads a sequence from the answer to a publish without decoding all of it: {"stream":"NAME","seq":1}, where the name has no
// quotes.
func acknowledged(b []byte) (uint64, bool) {
	rest, ok := bytes.CutPrefix(b, []byte(`{"stream":"`))
	if !ok {
		return 0, false
	}
	_, rest, ok = bytes.Cut(rest, []byte(`"seq":`))
	if !ok {
		return 0, false
	}
	end := bytes.IndexAny(rest, ",} ")
	if end < 0 {
		return 0, false
	}
	seq, err := strconv.ParseUint(string(rest[:end]), 10, 64)
	return seq, err == nil && seq > 0
}

// get reads one message.
func (s *store) get(ctx context.Context, name string, seq uint64) (*message, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	reply, err := s.read.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+name, []byte(`{"seq":`+strconv.FormatUint(seq, 10)+`}`))
	if err != nil {
		return nil, fmt.Errorf("%w: read message %d of %s: %w", log.ErrUnavailable, seq, name, err)
	}
	if reply.Header.Get("Status") == "" {
		return &message{seq: seq, data: reply.Data}, nil
	}
	// A replica that lags behind does not have it yet; the leader knows.
	return s.getFromLeader(ctx, name, seq)
}

func (s *store) getFromLeader(ctx context.Context, name string, seq uint64) (*message, error) {
	request := []byte(`{"seq":` + strconv.FormatUint(seq, 10) + `}`)
	reply, err := s.read.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+name, request)
	if err != nil {
		return nil, fmt.Errorf("%w: read message %d of %s: %w", log.ErrUnavailable, seq, name, err)
	}
	var answer struct {
		Error   *js.APIError `json:"error"`
		Message struct {
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("%w: read message %d of %s: %w", log.ErrUnavailable, seq, name, err)
	}
	switch {
	case answer.Error == nil:
		return &message{seq: seq, data: answer.Message.Data}, nil
	case answer.Error.ErrorCode == js.JSErrCodeMessageNotFound:
		return nil, errGone
	case answer.Error.ErrorCode == js.JSErrCodeStreamNotFound:
		return nil, log.ErrUnknown
	}
	return nil, fmt.Errorf("%w: read message %d of %s: %s", log.ErrUnavailable, seq, name, answer.Error.Description)
}

// page calls f with messages from seq on, in order, at most one page of them, and returns how many there were.
func (s *store) page(ctx context.Context, name string, seq uint64, f func(message) error) (int, error) {
	select {
	case s.pages <- struct{}{}:
		defer func() { <-s.pages }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	inbox := s.read.NewRespInbox()
	sub, err := s.read.SubscribeSync(inbox)
	if err != nil {
		return 0, fmt.Errorf("%w: read %s: %w", log.ErrUnavailable, name, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	request := fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d}`, seq, pageMessages, pageBytes)
	if err := s.read.PublishRequest("$JS.API.DIRECT.GET."+name, inbox, request); err != nil {
		return 0, fmt.Errorf("%w: read %s: %w", log.ErrUnavailable, name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for n := 0; ; n++ {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return n, fmt.Errorf("%w: read %s: %w", log.ErrUnavailable, name, err)
		}
		if m.Header.Get("Status") != "" {
			return n, nil
		}
		at, err := strconv.ParseUint(m.Header.Get(js.SequenceHeader), 10, 64)
		if err != nil {
			return n, fmt.Errorf("%w: sequence of a message of %s: %w", errCorrupt, name, err)
		}
		if err := f(message{seq: at, data: m.Data}); err != nil {
			return n, err
		}
	}
}

// state is where a stream begins and ends; first is last+1 when it is empty.
func (s *store) state(ctx context.Context, name string) (first, last uint64, err error) {
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return 0, 0, apiError("read the state of "+name, err)
	}
	state := stream.CachedInfo().State
	return state.FirstSeq, state.LastSeq, nil
}

// ensure makes a stream or changes its metadata.
func (s *store) ensure(ctx context.Context, c js.StreamConfig) error {
	if _, err := s.js.CreateOrUpdateStream(ctx, c); err != nil {
		return apiError("make "+c.Name, err)
	}
	return nil
}

func (s *store) remove(ctx context.Context, name string) error {
	if err := s.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, js.ErrStreamNotFound) {
		return apiError("remove "+name, err)
	}
	return nil
}

// purge drops every message before seq.
func (s *store) purge(ctx context.Context, name string, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	reply, err := s.read.RequestWithContext(ctx, "$JS.API.STREAM.PURGE."+name, []byte(`{"seq":`+strconv.FormatUint(seq, 10)+`}`))
	if err != nil {
		return apiError("drop from "+name, err)
	}
	var answer struct {
		Error *js.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return apiError("drop from "+name, err)
	}
	if answer.Error != nil {
		return apiError("drop from "+name, answer.Error)
	}
	return nil
}

func apiError(what string, err error) error {
	if errors.Is(err, js.ErrStreamNotFound) {
		return fmt.Errorf("%s: %w", what, log.ErrUnknown)
	}
	return fmt.Errorf("%w: %s: %w", log.ErrUnavailable, what, err)
}

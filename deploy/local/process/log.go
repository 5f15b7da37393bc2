package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// openLog opens a component's log for appending, after setting a large one aside.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > keptLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// trimLog empties the log of a running component that has grown too large, after copying it aside: the process keeps its descriptor.
func trimLog(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= keptLog {
		return err
	}
	from, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path+".old", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close(), from.Truncate(0))
}

// tailBytes of a log are looked at for an error, of which so many lines are told, each so long.
const (
	tailBytes = 256 << 10
	tailLines = 6
	lineBytes = 300
)

// tail is the end of the log at path, as the continuation of an error's text.
func tail(path string) string {
	text := fmt.Sprintf("; its log is %s", path)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return text
	}
	if err != nil {
		return text
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return text
	}
	if _, err := f.Seek(max(0, size-tailBytes), io.SeekStart); err != nil {
		return text
	}
	data, err := io.ReadAll(f)
	if err != nil || len(data) == 0 {
		return text
	}
	return text + telling(strings.Split(strings.TrimRight(string(data), "\n"), "\n"))
}

// telling is the lines that say why a program ended: where it panicked, and not the stacks of everything else that follow; else the last.
func telling(lines []string) string {
	how := ", which ends:"
	panicked := func(line string) bool {
		return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
	}
	if at := slices.IndexFunc(lines, panicked); at >= 0 {
		how, lines = ", which says:", lines[at:min(len(lines), at+tailLines)]
	}
	lines = slices.Clone(lines[max(0, len(lines)-tailLines):])
	for i, line := range lines {
		if len(line) > lineBytes {
			lines[i] = strings.ToValidUTF8(line[:lineBytes], "") + " …"
		}
	}
	return how + "\n  " + strings.Join(lines, "\n  ")
}

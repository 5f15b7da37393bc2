package mount

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Below lists the mount points at or below folder, innermost first.
func Below(folder string) ([]string, error) {
	// Not "self": that is the process' first thread, which may have gone to a container's namespace to start it there.
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	return below(string(data), folder), nil
}

// UnmountBelow detaches everything mounted at or below folder and returns how many mounts that were.
func UnmountBelow(folder string) (int, error) {
	points, err := Below(folder)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
		}
	}
	return len(points), errors.Join(errs...)
}

func below(info, folder string) []string {
	folder = filepath.Clean(folder)
	var out []string
	lines := bufio.NewScanner(strings.NewReader(info))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		point := unescape(fields[4])
		if point == folder || strings.HasPrefix(point, strings.TrimSuffix(folder, "/")+"/") {
			out = append(out, point)
		}
	}
	// Mounts are listed in the order they were made: the last one is on top.
	slices.Reverse(out)
	return out
}

// unescape undoes the octal escapes of mountinfo (space, tab, newline, backslash).
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

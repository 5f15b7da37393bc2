package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// LookupUser finds the numbers for an image's user: "", "1000", "1000:1000", "app", "app:staff", by the image's own /etc/passwd and /etc/group.
func LookupUser(rootfs, user string) (User, string, error) {
	name, group, hasGroup := strings.Cut(user, ":")
	u, home, err := lookupPasswd(rootfs, name)
	if err != nil {
		return User{}, "", err
	}
	if !hasGroup {
		u.Groups = supplementary(rootfs, name)
		return u, home, nil
	}
	if gid, err := strconv.ParseUint(group, 10, 32); err == nil {
		u.GID = uint32(gid)
		return u, home, nil
	}
	for _, f := range readColons(rootfs, "etc/group") {
		if len(f) >= 3 && f[0] == group {
			if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil {
				u.GID = uint32(gid)
				return u, home, nil
			}
		}
	}
	return User{}, "", fmt.Errorf("unable to find group %s: no matching entries in group file", group)
}

// lookupPasswd finds a user by name or number. A number needs no entry.
func lookupPasswd(rootfs, name string) (User, string, error) {
	if name == "" {
		name = "0"
	}
	number, notNumber := strconv.ParseUint(name, 10, 32)
	for _, f := range readColons(rootfs, "etc/passwd") {
		if len(f) < 4 {
			continue
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || f[0] != name && (notNumber != nil || uid != number) {
			continue
		}
		gid, err := strconv.ParseUint(f[3], 10, 32)
		if err != nil {
			continue
		}
		home := "/"
		if len(f) > 5 && f[5] != "" {
			home = f[5]
		}
		return User{UID: uint32(uid), GID: uint32(gid)}, home, nil
	}
	if notNumber != nil {
		return User{}, "", fmt.Errorf("unable to find user %s: no matching entries in passwd file", name)
	}
	return User{UID: uint32(number)}, "/", nil
}

func supplementary(rootfs, name string) []uint32 {
	var groups []uint32
	if name == "" {
		name = "root"
	}
	for _, f := range readColons(rootfs, "etc/group") {
		if len(f) < 4 {
			continue
		}
		for _, member := range strings.Split(f[3], ",") {
			if member == name {
				if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil {
					groups = append(groups, uint32(gid))
				}
			}
		}
	}
	return groups
}

// readColons reads a file of colon-separated lines from inside the image; a link in the image leads nowhere outside it.
func readColons(rootfs, name string) [][]string {
	root, err := os.OpenRoot(rootfs)
	if err != nil {
		return nil
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil
	}
	defer f.Close()
	var lines [][]string
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			lines = append(lines, strings.Split(line, ":"))
		}
	}
	return lines
}

package processes

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Process is one process.
type Process struct {
	PID, Parent int
	// Name is the program's file name.
	Name string
}

// Tree lists a process and its descendants, parents first.
func Tree(root int) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]Process{}
	var out []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		fields, err := statFields(pid)
		if err != nil {
			continue // it is gone
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		p := Process{PID: pid, Parent: parent, Name: programOf(pid)}
		if pid == root {
			out = append(out, p)
		}
		children[parent] = append(children[parent], p)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("process %d does not exist", root)
	}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i].PID]...)
	}
	return out, nil
}

func programOf(pid int) string {
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return ""
	}
	return filepath.Base(strings.TrimSuffix(target, " (deleted)"))
}

// statFields are those of /proc/PID/stat behind the command's name: state, parent, ...
func statFields(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	return parseStat(string(data))
}

func parseStat(line string) ([]string, error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return nil, errors.New("no command in the line")
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 13 {
		return nil, errors.New("line too short")
	}
	return fields, nil
}

// tick is the unit of processor times in /proc: USER_HZ is 100 on every platform that Go runs on.
const tick = time.Second / 100

// CPU is the processor time that a process has used, in steps of 10 ms.
func CPU(pid int) (time.Duration, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, fmt.Errorf("processor time of %d: %w", pid, err)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}

// Memory is what a process has resident, in bytes.
type Memory struct {
	// PSS counts pages that others share by their share; Private are those that nobody shares; RSS counts all.
	PSS, Private, RSS int64
}

// MemoryOf reads a process's memory.
func MemoryOf(pid int) (Memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return Memory{}, err
	}
	defer f.Close()
	var out Memory
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "Pss":
			out.PSS = kb << 10
		case "Rss":
			out.RSS = kb << 10
		case "Private_Clean", "Private_Dirty":
			out.Private += kb << 10
		}
	}
	return out, lines.Err()
}

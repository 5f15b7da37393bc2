package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Usage is what a process and its descendants use.
type Usage struct {
	CPUNanoseconds uint64 // of those that run now, since their start
	MemoryBytes    uint64 // resident
}

const ticksPerSecond = 100 // USER_HZ, the same on every architecture Linux serves with Go

// Usage adds up the process and its descendants.
func (p *Process) Usage() Usage {
	var u Usage
	for _, pid := range append(descendants(p.PID), p.PID) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // has ended
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		const user, system, resident = 11, 12, 21 // fields 14, 15 and 24, counted from the third
		if len(fields) <= resident {
			continue
		}
		number := func(i int) uint64 {
			n, _ := strconv.ParseUint(string(fields[i]), 10, 64) // the kernel's own numbers
			return n
		}
		u.CPUNanoseconds += (number(user) + number(system)) * (1e9 / ticksPerSecond)
		u.MemoryBytes += number(resident) * uint64(os.Getpagesize())
	}
	return u
}

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc/PID/stat: fixed at 1/100 s for user space on every Linux.
const tick = time.Second / 100

// memory is what a process holds, in bytes.
type memory struct {
	// Resident is VmRSS, the number that the target is about.
	Resident int64 `json:"resident"`
	// Anonymous is RssAnon: heap and stacks.
	Anonymous int64 `json:"anonymous"`
	// File is RssFile: mostly the pages of the binary itself, shared with other processes that run it.
	File int64 `json:"file"`
	// Peak is VmHWM, the largest VmRSS so far.
	Peak int64 `json:"peak"`
}

// readMemory reads /proc/PID/status.
func readMemory(pid int) (memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("read memory: %w", err)
	}
	return parseMemory(string(data))
}

func parseMemory(status string) (memory, error) {
	var m memory
	fields := map[string]*int64{"VmRSS": &m.Resident, "RssAnon": &m.Anonymous, "RssFile": &m.File, "VmHWM": &m.Peak}
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		field, wanted := fields[name]
		if !wanted {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return memory{}, fmt.Errorf("process status: %s: %w", name, err)
		}
		*field = kib << 10
		delete(fields, name)
	}
	if len(fields) > 0 {
		return memory{}, fmt.Errorf("process status lacks %d of VmRSS, RssAnon, RssFile, VmHWM", len(fields))
	}
	return m, nil
}

// readCPU reads the CPU time that the process has used, from /proc/PID/stat.
func readCPU(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return parseCPU(string(data))
}

func parseCPU(stat string) (time.Duration, error) {
	// The second field is the program's name in parentheses, and may hold blanks and parentheses itself.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	// utime and stime are fields 14 and 15 of the line, the first of the rest being field 3.
	const first, utime, stime = 3, 14, 15
	if len(fields) <= stime-first {
		return 0, fmt.Errorf("process statistics: %d fields after the name", len(fields))
	}
	var ticks int64
	for _, field := range []string{fields[utime-first], fields[stime-first]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process statistics: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// machineMemory reads the machine's memory in bytes; 0 when it cannot be read.
func machineMemory() int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if value, found := strings.CutPrefix(line, "MemTotal:"); found {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

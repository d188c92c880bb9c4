package hostinfo

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func collectSystem(info *Info, note func(error)) {
	note(info.Memory.read("/proc/meminfo"))
	text, err := os.ReadFile("/proc/cpuinfo")
	note(err)
	info.CPU = parseCPUs(string(text))
	note(info.Host.read())
	note(info.Disk.read())
}

func (m *Memory) read(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	*m = parseMemory(string(text))
	return nil
}

// parseMemory reads /proc/meminfo, whose numbers are in KiB.
func parseMemory(text string) Memory {
	var m Memory
	fields := map[string]*uint64{
		"MemTotal": &m.Total, "MemAvailable": &m.Available, "MemFree": &m.Free, "Active": &m.Active, "Inactive": &m.Inactive,
		"Buffers": &m.Buffers, "Cached": &m.Cached, "SwapTotal": &m.SwapTotal, "SwapFree": &m.SwapFree,
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if to := fields[key]; to != nil {
			n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 54) // 0 if it is none
			*to = n * 1024
		}
	}
	if m.Total > m.Available {
		m.Used = m.Total - m.Available
	}
	m.UsedPercent = percent(m.Used, m.Total)
	return m
}

// parseCPUs reads /proc/cpuinfo: a block of lines for each processor.
func parseCPUs(text string) []CPU {
	all := []CPU{}
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(line, ":")
			fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
		number, err := strconv.Atoi(fields["processor"])
		if err != nil {
			continue
		}
		c := CPU{CPU: number, VendorID: fields["vendor_id"], Family: fields["cpu family"], Model: fields["model"], ModelName: fields["model name"]}
		c.Cores, _ = strconv.Atoi(fields["cpu cores"])
		c.Mhz, _ = strconv.ParseFloat(fields["cpu MHz"], 64)
		all = append(all, c)
	}
	return all
}

func (h *Host) read() error {
	var system unix.Sysinfo_t
	if err := unix.Sysinfo(&system); err != nil {
		return err
	}
	h.Uptime, h.Procs = uint64(system.Uptime), uint64(system.Procs)
	h.BootTime = uint64(time.Now().Unix()) - h.Uptime
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	h.KernelVersion, h.KernelArch = unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Machine[:])
	text, err := os.ReadFile("/etc/os-release") // an image may have none
	if err == nil {
		h.Platform, h.PlatformVersion = parseRelease(string(text))
	}
	return nil
}

// parseRelease reads os-release(5).
func parseRelease(text string) (id, version string) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.Trim(value, `"'`); key {
		case "ID":
			id = value
		case "VERSION_ID":
			version = value
		}
	}
	return id, version
}

func (d *Disk) read() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(d.Path, &fs); err != nil {
		return err
	}
	size := uint64(fs.Bsize)
	d.Total, d.Free = fs.Blocks*size, fs.Bavail*size
	d.Used = (fs.Blocks - fs.Bfree) * size
	d.UsedPercent = percent(d.Used, d.Used+d.Free)
	d.InodesTotal, d.InodesFree = fs.Files, fs.Ffree
	d.InodesUsed = fs.Files - fs.Ffree
	return nil
}

// Package hostinfo describes the machine that an agent runs on, with the field names that
// /v1/agent/host has (spec: agent.md section 16). What a system does not tell is left empty.
package hostinfo

import (
	"os"
	"runtime"
	"time"
)

// Info is a machine at one time.
type Info struct {
	Memory         Memory
	CPU            []CPU
	Host           Host
	Disk           Disk
	CollectionTime int64    // nanoseconds since 1970
	Errors         []string // what could not be read
}

// Memory is in bytes.
type Memory struct {
	Total       uint64  `json:"total"`
	Available   uint64  `json:"available"`
	Used        uint64  `json:"used"`
	UsedPercent float64 `json:"usedPercent"`
	Free        uint64  `json:"free"`
	Active      uint64  `json:"active"`
	Inactive    uint64  `json:"inactive"`
	Buffers     uint64  `json:"buffers"`
	Cached      uint64  `json:"cached"`
	SwapTotal   uint64  `json:"swapTotal"`
	SwapFree    uint64  `json:"swapFree"`
}

// CPU is one logical processor.
type CPU struct {
	CPU       int     `json:"cpu"`
	VendorID  string  `json:"vendorId"`
	Family    string  `json:"family"`
	Model     string  `json:"model"`
	Cores     int     `json:"cores"`
	ModelName string  `json:"modelName"`
	Mhz       float64 `json:"mhz"`
}

// Host is the operating system.
type Host struct {
	Hostname        string `json:"hostname"`
	Uptime          uint64 `json:"uptime"`   // seconds
	BootTime        uint64 `json:"bootTime"` // seconds since 1970
	Procs           uint64 `json:"procs"`
	OS              string `json:"os"`
	Platform        string `json:"platform"`
	PlatformVersion string `json:"platformVersion"`
	KernelVersion   string `json:"kernelVersion"`
	KernelArch      string `json:"kernelArch"`
}

// Disk is the file system that holds Path, in bytes.
type Disk struct {
	Path        string  `json:"path"`
	Total       uint64  `json:"total"`
	Free        uint64  `json:"free"`
	Used        uint64  `json:"used"`
	UsedPercent float64 `json:"usedPercent"`
	InodesTotal uint64  `json:"inodesTotal"`
	InodesUsed  uint64  `json:"inodesUsed"`
	InodesFree  uint64  `json:"inodesFree"`
}

// Collect reads what the machine is now. path chooses the file system; empty is
// the current directory's.
func Collect(path string) Info {
	if path == "" {
		path = "."
	}
	info := Info{CPU: []CPU{}, CollectionTime: time.Now().UnixNano(), Errors: []string{}}
	info.Disk.Path = path
	info.Host.OS, info.Host.KernelArch = runtime.GOOS, runtime.GOARCH
	note := func(err error) {
		if err != nil {
			info.Errors = append(info.Errors, err.Error())
		}
	}
	var err error
	info.Host.Hostname, err = os.Hostname()
	note(err)
	collectSystem(&info, note)
	return info
}

// percent returns how much of total is used.
func percent(used, total uint64) float64 {
	if total == 0 {
		return 0
	}
	return float64(used) / float64(total) * 100
}

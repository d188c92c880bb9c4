package hostinfo

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	m := parseMemory("MemTotal:        1000 kB\nMemFree:  100 kB\nMemAvailable:     250 kB\nActive(anon): 1 kB\nCached: x kB\n")
	if m.Total != 1024000 || m.Free != 102400 || m.Used != 768000 || m.UsedPercent != 75 || m.Active != 0 || m.Cached != 0 {
		t.Errorf("%+v", m)
	}
	cpus := parseCPUs("processor\t: 0\nvendor_id\t: V\nmodel name\t: M x\ncpu MHz\t\t: 2500.5\ncpu cores\t: 2\n\nprocessor\t: 1\n\nHardware\t: board\n")
	if want := []CPU{{VendorID: "V", ModelName: "M x", Mhz: 2500.5, Cores: 2}, {CPU: 1}}; !slices.Equal(cpus, want) {
		t.Errorf("%+v", cpus)
	}
	if id, version := parseRelease("NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\nID_LIKE=x\n"); id != "debian" || version != "12" {
		t.Errorf("%s %s", id, version)
	}
}

func TestCollect(t *testing.T) {
	i := Collect(t.TempDir())
	if len(i.Errors) > 0 {
		t.Fatal(i.Errors)
	}
	if i.Memory.Total == 0 || i.Memory.Used > i.Memory.Total || len(i.CPU) == 0 || i.Host.Hostname == "" || i.Host.KernelVersion == "" ||
		i.Host.BootTime == 0 || i.Disk.Total == 0 || i.CollectionTime == 0 {
		t.Errorf("%+v", i)
	}
	if i := Collect("/nonexistent"); len(i.Errors) != 1 {
		t.Errorf("a path that is not there: %v", i.Errors)
	}
}

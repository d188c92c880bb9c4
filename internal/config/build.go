package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/daemon"
)

// build turns merged settings into a Config, with every default filled in. What is wrong
// with single settings is collected and returned as problems.
func build(given values, s Sources) (daemon.Config, error) {
	all := values{}
	if s.Dev {
		dev, _, err := parse("-dev", "hcl", []byte(devSettings))
		if err != nil {
			return daemon.Config{}, err
		}
		all = dev
	}
	all.merge(given)

	c := daemon.Config{Dev: s.Dev, Idle: idleKeys(given)}
	var wrong problems
	for i := range fields {
		f := &fields[i]
		if f.into == nil {
			continue
		}
		if v, ok := valueOf(f, all); ok {
			v, err := s.Host.resolve(f.address, v)
			if err == nil {
				err = assign(f.into(&c), v)
			}
			if err != nil {
				wrong.add("%s: %v", f.key, err)
			}
		}
	}
	c.Audit.Sinks = sinks(all, &wrong)
	checkPorts(c.Ports, &wrong)
	if err := wrong.err(); err != nil {
		return c, err
	}
	return c, derive(&c, all, s.Host)
}

// valueOf returns what is set for f, or its default; ok is false if there is neither.
func valueOf(f *field, all values) (v any, ok bool) {
	if s, ok := all[f.key]; ok {
		return s.value, true
	}
	if f.def == "" {
		return nil, false
	}
	v, err := f.parse(f.def)
	if err != nil {
		panic("default of " + f.key + ": " + err.Error())
	}
	return v, true
}

// sinks builds the audit sinks in the order of their names.
func sinks(all values, wrong *problems) []daemon.AuditSink {
	byName := map[string]*daemon.AuditSink{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		s := all[key]
		if s.field.inSink == nil {
			continue
		}
		_, label, _ := strings.Cut(key, "[")
		label = label[:strings.LastIndex(label, "]")]
		if byName[label] == nil {
			byName[label] = &daemon.AuditSink{}
		}
		if err := assign(s.field.inSink(byName[label]), s.value); err != nil {
			wrong.add("%s: %v", key, err)
		}
		byName[label].Name = label
	}
	var list []daemon.AuditSink
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, *byName[name])
	}
	return list
}

func checkPorts(p daemon.Ports, wrong *problems) {
	for _, port := range []struct {
		name   string
		number int
	}{
		{"dns", p.DNS}, {"http", p.HTTP}, {"https", p.HTTPS}, {"grpc", p.GRPC}, {"grpc_tls", p.GRPCTLS},
		{"serf_lan", p.SerfLAN}, {"serf_wan", p.SerfWAN}, {"server", p.Server},
	} {
		if port.number < -1 || port.number > 65535 {
			wrong.add("ports.%s: invalid port: %d", port.name, port.number)
		}
	}
}

// derive fills in the defaults that depend on other settings or on the machine.
func derive(c *daemon.Config, all values, host Host) (err error) {
	unset := func(key string) bool { _, ok := all[key]; return !ok }
	if c.NodeName == "" {
		if c.NodeName, err = host.name(); err != nil {
			return err
		}
	}
	c.Datacenter = strings.ToLower(c.Datacenter)
	if c.PrimaryDatacenter = strings.ToLower(c.PrimaryDatacenter); c.PrimaryDatacenter == "" {
		c.PrimaryDatacenter = c.Datacenter
	}
	c.Partition = strings.ToLower(c.Partition)
	if err := checkIntentionPolicy(c.DefaultIntentionPolicy); err != nil {
		return err
	}
	c.Domain = strings.Trim(c.Domain, ".")
	if unset("leave_on_terminate") {
		c.LeaveOnTerminate = !c.Server
	}
	if unset("skip_leave_on_interrupt") {
		c.SkipLeaveOnInt = c.Server
	}
	if unset("ports.grpc_tls") {
		c.Ports.GRPCTLS = -1
		if c.Server {
			c.Ports.GRPCTLS = 8503
		}
	}
	if rpc := &c.TLS.InternalRPC; rpc.VerifyServerHostname {
		rpc.VerifyOutgoing = true
	}
	if unset("connect.ca_config") {
		if c.MeshCA, err = ca.ParseSettings(c.MeshCA.Provider, nil); err != nil {
			return err
		}
	}
	c.TLS.GRPC.VerifyOutgoing = false // nothing calls out on gRPC
	if c.Dev {
		c.DataDir = ""
	}
	return nil
}

// advertise settles the address that others dial: the one bound, or the machine's only
// private one where every address is bound.
func advertise(c *daemon.Config, host Host) (err error) {
	if c.AdvertiseAddr != "" {
		return nil
	}
	c.AdvertiseAddr = c.BindAddr
	if ip, bad := netip.ParseAddr(c.BindAddr); bad == nil && ip.Is4() && ip.IsUnspecified() {
		c.AdvertiseAddr, err = host.onlyPrivateIPv4()
	}
	return err
}

// idleKeys are the settings given that nothing acts on.
func idleKeys(given values) []string {
	var keys []string
	for key, s := range given {
		if s.field.effect == idle {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// ineffective warns of the settings given that nothing acts on and somebody may rely on.
func ineffective(given values) []string {
	var warnings []string
	for key, s := range given {
		if s.field.effect == inert && s.value != false {
			warnings = append(warnings, "The '"+key+"' setting has no effect in this release.")
		}
	}
	slices.Sort(warnings)
	return warnings
}

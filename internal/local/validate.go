package local

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
)

// Bounds on the metadata of a service.
const (
	maxMeta      = 64
	maxMetaKey   = 128 // bytes
	maxMetaValue = 512
)

// invalid returns an error of the original's text.
func invalid(format string, args ...any) error { return errs.Errorf(errs.Invalid, format, args...) }

// validate checks an instance that has its defaults (spec: agent.md section 16.3).
func validate(i *catalog.Service) error {
	if i.Service == "" {
		return invalid("Missing service name")
	}
	if unspecified(i.Address) {
		return invalid("Invalid service address")
	}
	for _, a := range i.TaggedAddresses {
		if unspecified(a.Address) {
			return invalid("Invalid service address")
		}
	}
	if err := validateMeta(i.Meta); err != nil {
		return invalid("Invalid Service Meta: %w", err)
	}
	switch {
	case i.Weights.Passing < 1:
		return invalid("Invalid Weights: Passing must be greater than 0")
	case i.Weights.Warning < 0:
		return invalid("Invalid Weights: Warning must be greater or equal than 0")
	case i.Weights.Passing > 65535 || i.Weights.Warning > 65535:
		return invalid("Invalid Weights: Passing and Warning must be at most 65535")
	}
	return joined(validateKind(i))
}

// unspecified reports whether address is one that nobody can be reached at.
func unspecified(address string) bool {
	ip := net.ParseIP(strings.Trim(address, "[]"))
	return ip != nil && ip.IsUnspecified()
}

func validateMeta(meta map[string]string) error {
	if len(meta) > maxMeta {
		return fmt.Errorf("Node metadata cannot contain more than %d key/value pairs", maxMeta)
	}
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		value, reason := meta[key], ""
		switch {
		case key == "":
			reason = "Key cannot be blank"
		case strings.Trim(key, metaKeyBytes) != "":
			reason = "Key contains invalid characters"
		case len(key) > maxMetaKey:
			reason = fmt.Sprintf("Key is too long (limit: %d characters)", maxMetaKey)
		case len(value) > maxMetaValue:
			reason = fmt.Sprintf("Value is too long (limit: %d characters)", maxMetaValue)
		default:
			continue
		}
		return fmt.Errorf("Couldn't load metadata pair ('%s', '%s'): %s", key, value, reason)
	}
	return nil
}

const metaKeyBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// joined returns the texts as one error, or nil if there are none.
func joined(texts []string) error {
	if len(texts) == 0 {
		return nil
	}
	noun := "errors"
	if len(texts) == 1 {
		noun = "error"
	}
	return invalid("Validation failed: %d %s occurred:\n\t* %s\n\n", len(texts), noun, strings.Join(texts, "\n\t* "))
}

// validateKind returns what is wrong with a proxy or a gateway.
func validateKind(i *catalog.Service) []string {
	switch i.Kind {
	case catalog.KindConnectProxy:
		return validateProxy(i)
	case catalog.KindMeshGateway, catalog.KindTerminatingGateway:
		bad := validateGateway(i)
		if i.Port == 0 {
			bad = append(bad, fmt.Sprintf("Port must be non-zero for a %s", i.Kind))
		}
		return bad
	case catalog.KindIngressGateway, catalog.KindAPIGateway:
		return validateGateway(i)
	}
	return nil
}

// validateGateway refuses what only a proxy of one service has.
func validateGateway(i *catalog.Service) (bad []string) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"DestinationServiceName", i.Proxy.DestinationServiceName != ""},
		{"DestinationServiceID", i.Proxy.DestinationServiceID != ""},
		{"LocalServiceAddress", i.Proxy.LocalServiceAddress != ""},
		{"LocalServicePort", i.Proxy.LocalServicePort != 0},
		{"LocalServiceSocketPath", i.Proxy.LocalServiceSocketPath != ""},
		{"Upstreams", len(i.Proxy.Upstreams) > 0},
	} {
		if f.set {
			bad = append(bad, fmt.Sprintf("The Proxy.%s configuration is invalid for a %s", f.name, i.Kind))
		}
	}
	return bad
}

func validateProxy(i *catalog.Service) (bad []string) {
	if i.Port == 0 && i.SocketPath == "" {
		bad = append(bad, "Port or SocketPath must be set for a connect-proxy")
	}
	switch strings.TrimSpace(i.Proxy.DestinationServiceName) {
	case "":
		bad = append(bad, "Proxy.DestinationServiceName must be non-empty for Connect proxy services")
	case "*":
		bad = append(bad, "Proxy.DestinationServiceName must not be a wildcard for Connect proxy services")
	}
	if i.Connect.Native {
		bad = append(bad, "A Proxy cannot also be Connect Native, only typical services")
	}
	listeners := map[string]bool{}
	for _, u := range i.Proxy.Upstreams {
		bad = append(bad, validateUpstream(&u)...)
		if u.CentrallyConfigured {
			continue
		}
		at := u.LocalBindSocketPath
		if at == "" {
			at = net.JoinHostPort(bindAddress(&u), strconv.Itoa(u.LocalBindPort))
		}
		if listeners[at] {
			bad = append(bad, fmt.Sprintf("upstreams cannot contain duplicates by local bind address and port or unix path; %q is specified twice", at))
		}
		listeners[at] = true
	}
	return bad
}

func bindAddress(u *catalog.Upstream) string {
	if u.LocalBindAddress == "" {
		return "127.0.0.1"
	}
	return u.LocalBindAddress
}

func validateUpstream(u *catalog.Upstream) (bad []string) {
	switch u.DestinationType {
	case "service", "prepared_query":
	default:
		bad = append(bad, fmt.Sprintf("unknown upstream destination type: %q", u.DestinationType))
	}
	switch {
	case u.DestinationName == "":
		bad = append(bad, "upstream destination name cannot be empty")
	case u.DestinationName == "*" && !u.CentrallyConfigured:
		bad = append(bad, "upstream destination name cannot be a wildcard")
	}
	switch {
	case u.LocalBindPort == 0 && u.LocalBindSocketPath == "" && !u.CentrallyConfigured:
		bad = append(bad, "upstream local bind port or local socket path must be defined and nonzero")
	case u.LocalBindSocketPath != "" && (u.LocalBindPort != 0 || u.LocalBindAddress != ""):
		bad = append(bad, "only one of upstream local bind address:port or local socket path may be set")
	}
	return bad
}

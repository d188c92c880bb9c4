package xds

import (
	"fmt"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

// Version is the release of a proxy. The zero value stands for the newest one.
type Version struct{ Major, Minor, Patch uint32 }

// Oldest is the first release of Envoy that is served.
var Oldest = Version{Major: 1, Minor: 19}

// typedNames is the first release that is asked for subject names by their kind. Those before it match a name of any kind.
var typedNames = Version{Major: 1, Minor: 24}

// Before reports whether v is older than o.
func (v Version) Before(o Version) bool {
	switch {
	case v == Version{}:
		return false
	case v.Major != o.Major:
		return v.Major < o.Major
	case v.Minor != o.Minor:
		return v.Minor < o.Minor
	}
	return v.Patch < o.Patch
}

// String returns the version as Envoy writes it.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// VersionOf returns the version that a node says to have, zero if it says none.
func VersionOf(n *core.Node) Version {
	var said *envoytype.SemanticVersion
	if said = n.GetUserAgentBuildVersion().GetVersion(); said == nil {
		return Version{}
	}
	return Version{Major: said.GetMajorNumber(), Minor: said.GetMinorNumber(), Patch: said.GetPatch()}
}

//go:build !linux

package hostinfo

import "errors"

func collectSystem(_ *Info, note func(error)) {
	note(errors.New("only the name of the host is known on this system"))
}

//go:build !linux

package e2e

import "errors"

// namespaces are there on Linux alone.
type namespaces struct{ loopback }

func newNamespaces(int) (*namespaces, error) { return nil, errors.ErrUnsupported }

func (n *namespaces) close() {}

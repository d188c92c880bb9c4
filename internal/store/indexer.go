package store

import "fmt"

// bytesIndexer is a memdb index over keys that this package builds itself.
type bytesIndexer func(obj any) []byte

// FromObject implements memdb.SingleIndexer.
func (f bytesIndexer) FromObject(obj any) (bool, []byte, error) { return true, f(obj), nil }

// FromArgs implements memdb.Indexer: the argument is the key.
func (f bytesIndexer) FromArgs(args ...any) ([]byte, error) {
	if len(args) == 1 {
		if k, ok := args[0].([]byte); ok {
			return k, nil
		}
	}
	return nil, fmt.Errorf("want one key, got %d arguments", len(args))
}

// PrefixFromArgs implements memdb.PrefixIndexer.
func (f bytesIndexer) PrefixFromArgs(args ...any) ([]byte, error) { return f.FromArgs(args...) }

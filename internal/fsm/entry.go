package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
)

// entryVersion is the first byte of a log entry.
const entryVersion = 1

var errTruncated = errors.New("truncated log entry")

// Encode returns one log entry that carries cmds.
func Encode(cmds ...Command) ([]byte, error) {
	parts := make([][]byte, len(cmds))
	for i, c := range cmds {
		p, err := EncodeCommand(c)
		if err != nil {
			return nil, err
		}
		parts[i] = p
	}
	return Join(parts...), nil
}

// EncodeCommand returns one command's part of a log entry: its kind, its length,
// and its fields.
func EncodeCommand(c Command) ([]byte, error) {
	kind, ok := kindOf[reflect.TypeOf(c)]
	if !ok {
		return nil, fmt.Errorf("%T is not among the command kinds", c)
	}
	body, err := marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", c, err)
	}
	out := make([]byte, 0, len(body)+2*binary.MaxVarintLen32)
	out = binary.AppendUvarint(binary.AppendUvarint(out, kind), uint64(len(body)))
	return append(out, body...), nil
}

// Join returns one log entry of commands that EncodeCommand has encoded.
func Join(parts ...[]byte) []byte {
	size := 1 + binary.MaxVarintLen32
	for _, p := range parts {
		size += len(p)
	}
	out := append(make([]byte, 0, size), entryVersion)
	out = binary.AppendUvarint(out, uint64(len(parts)))
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// Decode returns the commands of a log entry.
func Decode(entry []byte) ([]Command, error) {
	if len(entry) == 0 {
		return nil, errTruncated
	}
	if entry[0] != entryVersion {
		return nil, fmt.Errorf("unknown format %d: it was written by a newer version", entry[0])
	}
	count, rest, err := uvarint(entry[1:])
	if err != nil {
		return nil, err
	}
	if count > uint64(len(rest)) {
		return nil, errTruncated // a command has at least one byte
	}
	cmds := make([]Command, count)
	for i := range cmds {
		if cmds[i], rest, err = decodeCommand(rest); err != nil {
			return nil, err
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after the last command", len(rest))
	}
	return cmds, nil
}

func decodeCommand(data []byte) (Command, []byte, error) {
	kind, data, err := uvarint(data)
	if err != nil {
		return nil, nil, err
	}
	size, data, err := uvarint(data)
	if err != nil {
		return nil, nil, err
	}
	if size > uint64(len(data)) {
		return nil, nil, errTruncated
	}
	c, err := newCommand(kind)
	if err != nil {
		return nil, nil, err
	}
	if err := unmarshal(data[:size], c.Interface()); err != nil {
		return nil, nil, fmt.Errorf("decode %s: %w", c.Type().Elem().Name(), err)
	}
	return c.Elem().Interface().(Command), data[size:], nil
}

func uvarint(data []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil, errTruncated
	}
	return v, data[n:], nil
}

package fsm

import (
	"reflect"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// handle is how values are written in the log and in snapshots: msgpack maps keyed by
// Go field names, whatever their JSON is called. A field that a reader does
// not know is passed over, and one that a writer did not know stays zero.
var handle = newHandle()

func newHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.TypeInfos = codec.NewTypeInfos([]string{"codec"})
	h.MapType = reflect.TypeFor[map[string]any]()
	h.SliceType = reflect.TypeFor[[]any]()
	h.RawToString = true
	h.Canonical = true // equal values have equal bytes
	return h
}

// marshal writes v after dst.
func marshal(dst []byte, v any) ([]byte, error) {
	var out []byte
	if err := codec.NewEncoderBytes(&out, handle).Encode(v); err != nil {
		return nil, err
	}
	return append(dst, out...), nil
}

// unmarshal reads what marshal wrote into the value that v points to.
func unmarshal(data []byte, v any) error {
	return codec.NewDecoderBytes(data, handle).Decode(v)
}

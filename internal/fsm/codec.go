package fsm

import (
	"encoding/json"
	"fmt"
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
	if err := h.SetBytesExt(reflect.TypeFor[json.Number](), numberExt, numbers{}); err != nil {
		panic(err) // the tag is taken
	}
	return h
}

// numberExt is the msgpack extension of a json.Number: its digits as text. Without it a number
// inside a Config would come back as a string.
const numberExt = 1

type numbers struct{}

// WriteExt implements codec.BytesExt.
func (numbers) WriteExt(v any) []byte {
	switch v := v.(type) {
	case json.Number:
		return []byte(v)
	case *json.Number:
		return []byte(*v)
	}
	panic(fmt.Sprintf("%T is no number", v)) // the codec calls with what is registered
}

// ReadExt implements codec.BytesExt.
func (numbers) ReadExt(dst any, src []byte) { *dst.(*json.Number) = json.Number(src) }

// marshal returns v as bytes.
func marshal(v any) ([]byte, error) {
	var out []byte
	err := codec.NewEncoderBytes(&out, handle).Encode(v)
	return out, err
}

// unmarshal reads what marshal wrote into the value that v points to.
func unmarshal(data []byte, v any) error {
	return codec.NewDecoderBytes(data, handle).Decode(v)
}

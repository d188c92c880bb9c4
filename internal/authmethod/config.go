package authmethod

import (
	"sort"
	"strings"

	"github.com/mitchellh/mapstructure"

	"github.com/lictor/lictor/internal/errs"
)

// DecodeConfig reads a method's Config into the struct that into points to.
// Keys match field names in any case, texts become numbers, and one value
// becomes a list of one (authmethods.md section 2.2). It returns errs.Invalid for a key that the
// struct does not have, and for a key that is there twice in different capitals.
func DecodeConfig(config map[string]any, into any) error {
	if err := checkRepeats(config); err != nil {
		return err
	}
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:           into,
		WeaklyTypedInput: true,
		ErrorUnused:      true,
	})
	if err != nil {
		return err
	}
	if err := dec.Decode(config); err != nil {
		return errs.Errorf(errs.Invalid, "error decoding config: %w", err)
	}
	return nil
}

func checkRepeats(config map[string]any) error {
	keys := make([]string, 0, len(config))
	for k := range config {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	seen := make(map[string]string, len(keys))
	for _, k := range keys {
		folded := strings.ToLower(strings.ToUpper(k)) // as strings.EqualFold sees it
		if other, ok := seen[folded]; ok {
			return errs.Errorf(errs.Invalid, "error decoding config: %q and %q are the same key", other, k)
		}
		seen[folded] = k
	}
	return nil
}

// Package wire holds forms of JSON that several resources share.
package wire

import (
	"encoding/json"
	"time"
)

// Duration is a time.Duration whose JSON is text such as "1m30s", or an integer of nanoseconds.
type Duration time.Duration

// UnmarshalJSON reads either form. null leaves d as it is.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '"' {
		return json.Unmarshal(data, (*int64)(d))
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(text)
	if err == nil {
		*d = Duration(parsed)
	}
	return err
}

// MarshalJSON writes text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// OptionalDuration is a Duration that is not given where its text is empty.
type OptionalDuration Duration

// UnmarshalJSON reads what Duration does. Empty text and null leave d as it is.
func (d *OptionalDuration) UnmarshalJSON(data []byte) error {
	if string(data) == `""` {
		return nil
	}
	return (*Duration)(d).UnmarshalJSON(data)
}

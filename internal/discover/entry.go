package discover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxEntry bounds an entry of retry_join, in bytes.
const maxEntry = 4096

// parse reads "key=value …". A value may stand in double quotes, and a backslash
// takes away the meaning of what follows it. Errors hold no value: some are secrets.
func parse(entry string) (map[string]string, error) {
	if len(entry) > maxEntry {
		return nil, fmt.Errorf("an entry of more than %d bytes", maxEntry)
	}
	settings := map[string]string{}
	for rest := strings.TrimLeft(entry, blanks); rest != ""; rest = strings.TrimLeft(rest, blanks) {
		key, after, ok := strings.Cut(rest, "=")
		if !ok || key == "" || strings.ContainsAny(key, blanks+`"\`) {
			return nil, errors.New("an entry is made of key=value, with blanks between")
		}
		if _, twice := settings[key]; twice {
			return nil, fmt.Errorf("%s is given twice", key)
		}
		value, more, err := readValue(after)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		settings[key], rest = value, more
	}
	return settings, nil
}

const blanks = " \t\r\n"

// readValue returns the value that text begins with, and what follows it.
func readValue(text string) (value, rest string, err error) {
	var out strings.Builder
	quoted := strings.HasPrefix(text, `"`)
	if quoted {
		text = text[1:]
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			out.WriteByte(text[i])
		case c == '\\':
			return "", "", errors.New("nothing follows the backslash")
		case quoted && c == '"':
			if rest = text[i+1:]; rest != "" && !strings.ContainsRune(blanks, rune(rest[0])) {
				return "", "", errors.New("a blank has to follow the closing quote")
			}
			return out.String(), rest, nil
		case !quoted && c == '"':
			return "", "", errors.New("a quote inside a value needs a backslash")
		case !quoted && strings.ContainsRune(blanks, rune(c)):
			return out.String(), text[i:], nil
		default:
			out.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errors.New("the closing quote is missing")
	}
	return out.String(), "", nil
}

// awsKeys are the settings of provider=aws, and the values that they may have
// where not every one makes sense. The first is the default.
var awsKeys = map[string][]string{
	"provider": nil, "region": nil, "tag_key": nil, "tag_value": nil, "endpoint": nil,
	"access_key_id": nil, "secret_access_key": nil, "session_token": nil, "ecs_cluster": nil, "ecs_family": nil,
	"addr_type": {"private_v4", "public_v4", "public_v6"},
	"service":   {"ec2", "ecs"},
}

// checkAWS refuses what the library would pass over, and fills in defaults.
func checkAWS(settings map[string]string) error {
	for key, value := range settings {
		values, known := awsKeys[key]
		if !known {
			return fmt.Errorf("discover-aws: unknown key %s", key)
		}
		if len(values) > 0 && !slices.Contains(values, value) {
			return fmt.Errorf("discover-aws: %s must be one of %s, not %q", key, strings.Join(values, ", "), value)
		}
	}
	for key, values := range awsKeys {
		if len(values) > 0 && settings[key] == "" {
			settings[key] = values[0]
		}
	}
	switch {
	case settings["tag_key"] == "" || settings["tag_value"] == "":
		return errors.New("discover-aws: tag_key and tag_value have to be given")
	case (settings["access_key_id"] == "") != (settings["secret_access_key"] == ""):
		return errors.New("discover-aws: access_key_id and secret_access_key must both be given, or neither")
	case settings["service"] == "ecs" && settings["addr_type"] != "private_v4":
		return errors.New("discover-aws: addr_type must be private_v4 with service=ecs")
	}
	return nil
}

package config

import (
	"fmt"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/tenancy"
)

var entryFields = []field{
	{key: "config_entries.bootstrap", kind: objects, into: func(c *conf) any { return &c.BootstrapEntries },
		note: "Config entries that a server makes when it begins to lead, where they are missing."},
	{key: "default_intention_policy", into: func(c *conf) any { return &c.DefaultIntentionPolicy }, defNote: "acl.default_policy, or allow without ACLs",
		note: "Whether services may connect where no intention says anything: allow or deny."},
}

// appendEntries appends the config entries of a list of objects.
func appendEntries(to *[]configentry.Entry, list []any) error {
	for i, object := range list {
		e, err := configEntry(object)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
		*to = append(*to, *e)
	}
	return nil
}

// configEntry returns the entry that a parsed object is, settled.
func configEntry(object any) (*configentry.Entry, error) {
	e, err := configentry.Decode(plain(object).(map[string]any))
	if err != nil {
		return nil, err
	}
	parse := tenancy.Parse
	if e.Kind == configentry.KindServiceIntentions {
		parse = tenancy.ParseWildcard
	}
	if e.Scope, err = parse(e.Partition, e.Namespace); err != nil {
		return nil, err
	}
	return e, e.Settle()
}

// EntryText reads a file with one config entry, HCL or JSON. The entry is checked as far as its keys
// and types go; the rest is for servers to say.
func EntryText(text []byte) (*configentry.Entry, error) {
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxFileBytes)
	}
	object, err := parseHCL(text) // which includes JSON
	if err != nil {
		return nil, err
	}
	return configentry.Decode(plain(object).(map[string]any))
}

func checkIntentionPolicy(policy string) error {
	switch policy {
	case "", "allow", "deny":
		return nil
	}
	return fmt.Errorf("default_intention_policy: unsupported policy %q: it is allow or deny", policy)
}

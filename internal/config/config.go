// Package config turns configuration files and flags into the daemon.Config of an agent.
// One table describes every setting (field); reading, merging, the flags and the reference
// page follow from it (spec: agent.md sections 1 to 6 and 9).
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/lictor/lictor/internal/daemon"
)

// Sources say where a configuration comes from. Loading does not change them, so an agent
// that reloads reads the same sources again.
type Sources struct {
	Paths     []string // files and directories, in order; later ones win
	Format    string   // "hcl" or "json" for all files; empty means by their extension
	Fragments []string // HCL read after files and flags
	Dev       bool
	Host      Host

	flags values // from Flags
}

// devSettings is what -dev sets, under everything else (spec: agent.md section 9).
const devSettings = `
bind_addr = "127.0.0.1"
bootstrap = true
connect { enabled = true }
disable_anonymous_signature = true
disable_keyring_file = true
enable_debug = true
log_level = "DEBUG"
ports { grpc = 8502 grpc_tls = 8503 }
server = true
ui_config { enabled = true }
`

// Load reads and merges all sources, checks the result, and returns it with the warnings
// that the operator should see. Errors have the texts of spec agent.md sections 2 and 6;
// none holds a secret.
func Load(s Sources) (daemon.Config, []string, error) {
	given, warnings, err := s.merged()
	if err != nil {
		return daemon.Config{}, nil, err
	}
	cfg, err := build(given, s)
	if err != nil {
		return daemon.Config{}, nil, err
	}
	warnings = append(warnings, ineffective(given)...)
	more, err := validate(&cfg, given, s.Host)
	if err != nil {
		return daemon.Config{}, nil, err
	}
	return cfg, append(warnings, more...), nil
}

// merged returns what the sources set, without defaults. Lists that flags give come before
// those of files; everything else comes after them.
func (s Sources) merged() (values, []string, error) {
	if s.Format != "" && s.Format != "hcl" && s.Format != "json" {
		return nil, nil, fmt.Errorf("-config-format must be hcl or json, not %q", s.Format)
	}
	all, flags := s.flags.split()
	var warnings []string
	add := func(name, format string, text []byte) error {
		v, w, err := parse(name, format, text)
		all.merge(v)
		warnings = append(warnings, w...)
		return err
	}
	for _, path := range s.Paths {
		files, err := s.expand(path)
		if err != nil {
			return nil, nil, err
		}
		for _, file := range files {
			text, format, err := s.read(file)
			if err != nil {
				return nil, nil, err
			}
			if err := add(file, format, text); err != nil {
				return nil, nil, err
			}
		}
	}
	all.merge(flags)
	for i, text := range s.Fragments {
		if err := add(fmt.Sprintf("flags-%d.hcl", i), "hcl", []byte(text)); err != nil {
			return nil, nil, err
		}
	}
	return all, warnings, nil
}

// parse reads one file's text. name is for the error.
func parse(name, format string, text []byte) (values, []string, error) {
	read := parseHCL
	if format == "json" {
		read = parseJSON
	}
	var v values
	var warnings []string
	obj, err := read(text)
	if err == nil {
		v, warnings, err = rootSchema.decode(obj)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("failed to parse %s: %w", name, err)
	}
	return v, warnings, nil
}

// expand returns the files that path means: itself, or the configuration files in that
// directory in the order of their names.
func (s Sources) expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, openFailed(path, err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, openFailed(path, err)
	}
	var files []string
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		if formatOf(file) == "" {
			continue
		}
		// Stat follows the links that mounted secrets and config maps are made of.
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			continue
		}
		files = append(files, file)
	}
	slices.Sort(files)
	return files, nil
}

func (s Sources) read(file string) (text []byte, format string, err error) {
	if format = s.Format; format == "" {
		format = formatOf(file)
	}
	if format == "" {
		return nil, "", fmt.Errorf("file %s has unknown extension; must be .hcl or .json, or config format must be set", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", openFailed(file, err)
	}
	text, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, "", fmt.Errorf("config: Read failed on %s. %w", file, err)
	}
	if len(text) > maxFileBytes {
		return nil, "", fmt.Errorf("failed to parse %s: the file is larger than %d bytes", file, maxFileBytes)
	}
	return text, format, nil
}

func openFailed(path string, err error) error {
	var cause *os.PathError
	if errors.As(err, &cause) {
		cause.Op = "open" // also for stat: operators know this text
	}
	return fmt.Errorf("config: Open failed on %s. %w", path, err)
}

func formatOf(file string) string {
	switch filepath.Ext(file) {
	case ".hcl":
		return "hcl"
	case ".json":
		return "json"
	}
	return ""
}

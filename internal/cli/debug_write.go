package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// write writes what was collected, for the eyes of this user alone, and returns where it is. It
// replaces nothing.
func (d *debugger) write() (string, error) {
	if !d.flags.archive {
		return d.flags.output, d.writeDirectory()
	}
	name := d.flags.output + ".tar.gz"
	data, err := d.pack()
	if err != nil {
		return "", err
	}
	return name, writeNew(name, data)
}

func (d *debugger) writeDirectory() error {
	for name, data := range d.files {
		file := filepath.Join(d.flags.output, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := writeNew(file, data); err != nil {
			return err
		}
	}
	return nil
}

func writeNew(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// pack returns the archive: all files below one directory of its name.
func (d *debugger) pack() ([]byte, error) {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		header := &tar.Header{
			Name: path.Join(filepath.Base(d.flags.output), name), Mode: 0o600, Size: int64(len(d.files[name])), ModTime: now, Format: tar.FormatPAX,
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(d.files[name]); err != nil {
			return nil, err
		}
	}
	err := errors.Join(archive.Close(), zipped.Close())
	return packed.Bytes(), err
}

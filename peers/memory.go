package peers

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// memorize writes what the daemon is to know at its next start to a file, whole
// or not at all.
func memorize(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700) // systemd's StateDirectory= makes it, other inits do not
	}
	if err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'), nil)
}

// recall reads what was memorized. No file means the zero value, and is no error.
func recall[T any](path string, parse func([]byte) (T, error)) (v T, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	return parse(data)
}

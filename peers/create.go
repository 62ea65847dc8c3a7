package peers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// HostFile returns a new peers file: the [Reference] with these settings of
// [host], and no peers. Of h its Name, Addresses and Domains count, where they
// are not empty; keyFile is where the private key is, empty: at the default.
func HostFile(h Host, keyFile string) string {
	host, rest, _ := strings.Cut(Reference, "\n# One [[peer]]")
	set := func(key, line string) {
		start := strings.Index(host, "\n#"+key+" = ") + 1
		host = host[:start] + line + host[lineEnd(host, start):]
	}
	if h.Name != "" {
		set("name", "name = "+strconv.Quote(h.Name)+"\n")
	}
	if keyFile != "" && keyFile != DefaultKeyFile {
		set("private_key_file", "private_key_file = "+strconv.Quote(keyFile)+"\n")
	}
	if len(h.Addresses) > 0 {
		set("addresses", array("addresses", texts(h.Addresses)))
	}
	if len(h.Domains) > 0 {
		set("domains", array("domains", h.Domains))
	}
	return host + "\n# One [[peer]]" + rest
}

// CreateFile writes a new file, with the folders that it needs, whole or not at
// all. It never replaces one: the error is [fs.ErrExist] then.
func CreateFile(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", path, err)
	}
	if err := createFile(path, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncDir(dir)
}

func createFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path) // which fails where a file is
}

// MakeKeyFile writes a new private key, for its owner only, unless there is a
// file: that stays. made is false then, and the error is what is wrong with it.
func MakeKeyFile(path string) (key PrivateKey, made bool, err error) {
	key, err = NewPrivateKey()
	if err == nil {
		err = CreateFile(path, []byte(key.Reveal()+"\n"), 0o600)
	}
	if !errors.Is(err, fs.ErrExist) {
		return key, err == nil, err
	}
	data, err := ReadKeyFile(path)
	if err != nil {
		return PrivateKey{}, false, err
	}
	if key, err = ParsePrivateKey(string(data)); err != nil {
		err = fmt.Errorf("reading key file %s: %w; peers that have its public half need that of a new one: "+
			"move the file away and run this again if it cannot be restored", quotePath(path), err)
	}
	return key, false, err
}

// KeyFileOf returns where a peers file says that the private key is, whether
// there is one or not; name is the file's, for errors.
func KeyFileOf(name string, data []byte) (string, error) {
	var path string
	placeholder, err := NewPrivateKey()
	if err != nil {
		return "", err
	}
	env := System()
	env.ReadKey = func(p string) ([]byte, error) {
		if path == "" { // that of [host] is read before those of peers
			path = p
		}
		return []byte(placeholder.Reveal()), nil
	}
	_, err = Decode(name, data, env)
	return path, err
}

package peers

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxKeyFile is how large a key file may be, in bytes.
const maxKeyFile = 4 << 10

// Load returns what the peers file at path says, with the system's key files
// and host name. An error is that of reading the file, or Decode's.
func Load(path string) (*Config, error) {
	return load(path, System())
}

// LoadAgain is Load for who loads a file each time it has changed.
func LoadAgain(path string, b *Blocks) (*Config, error) {
	env := System()
	env.Blocks = b
	return load(path, env)
}

// LoadHere is Load that also refuses peers with an address that one of this
// host's interfaces has. It is for people who edit a file: at a boot, or while
// addresses move, one such peer must not leave the others without protection.
func LoadHere(path string) (*Config, error) {
	return load(path, SystemHere())
}

// System returns the environment that [Load] decodes in.
func System() Env { return Env{Hostname: hostname, ReadKey: ReadKeyFile} }

// SystemHere returns the environment that [LoadHere] decodes in.
func SystemHere() Env { return Env{Hostname: hostname, ReadKey: ReadKeyFile, Local: localAddresses} }

func load(path string, env Env) (*Config, error) {
	data, err := readPeersFile(path)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 { // what a full disk leaves, or an editor that was killed: not the wish to have all mail in clear
		return nil, join([]Problem{{File: path, Line: 1, Text: "the file is empty: write [[peer]] for each peer, or [host] if there is to be none"}})
	}
	return Decode(path, data, env)
}

// readPeersFile returns the content of a regular file, cut where it is too large
// to decode. It never waits, not for a named pipe.
func readPeersFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening peers file %q: %w", path, cause(err))
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("opening peers file %q: %w", path, cmp.Or(err, errors.New("it is not a regular file")))
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading peers file %q: %w", path, cause(err))
	}
	return data, nil
}

// localAddresses returns those of all interfaces.
func localAddresses() (all []netip.Addr, err error) {
	nets, err := net.InterfaceAddrs()
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			all = append(all, p.Addr())
		}
	}
	return all, err
}

// ReadKeyFile returns the content of a key file, which must be a regular file
// of at most 4 KiB that only its owner can read. It never waits, not even for a
// named pipe. Errors name the file and quote none of it.
//
// A service manager can pass the private key as a credential named private.key
// (systemd.exec(5), LoadCredential=). It counts where [DefaultKeyFile] itself is
// not there or not for this process to read; an empty one is none.
func ReadKeyFile(path string) ([]byte, error) {
	return readKeyOr(path, credential(path))
}

// readKeyOr reads a key file or else its credential, of which there may be none.
func readKeyOr(path, credential string) ([]byte, error) {
	data, err := readKeyFile(path, checkMode)
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return data, err
	}
	passed, passedErr := readKeyFile(credential, checkKind)
	switch {
	case errors.Is(passedErr, fs.ErrNotExist), passedErr == nil && len(bytes.TrimSpace(passed)) == 0:
		return nil, err
	}
	return passed, passedErr
}

// readKeyFile reads a key file whose mode finds favour with check.
func readKeyFile(path string, check func(fs.FileMode, string) error) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w for %s: give the file to that user (chown), or run this as root", cause(err), userName())
	}
	if err != nil {
		return nil, fmt.Errorf("opening key file %s: %w", quotePath(path), cause(err))
	}
	defer f.Close()
	data, err := readKey(f, path, check)
	if err != nil {
		return nil, fmt.Errorf("reading key file %s: %w", quotePath(path), err)
	}
	return data, nil
}

// credential returns the path of the credential that stands in for a key file;
// empty: there can be none.
func credential(path string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" || path != DefaultKeyFile {
		return ""
	}
	return filepath.Join(dir, filepath.Base(path))
}

// userName says as whom the process runs.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("the user %d", os.Geteuid())
}

func readKey(f *os.File, path string, check func(fs.FileMode, string) error) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if err := check(info.Mode(), path); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, cause(err)
	case len(data) == 0:
		return nil, errors.New("the file is empty")
	case len(data) > maxKeyFile:
		return nil, fmt.Errorf("the file is too large for a key: at most %d bytes are read", maxKeyFile)
	}
	return data, nil
}

// checkMode wants a file that is its owner's alone.
func checkMode(mode fs.FileMode, path string) error {
	if err := checkKind(mode, path); err != nil {
		return err
	}
	if mode.Perm()&0o077 != 0 {
		return fmt.Errorf("others may use it (mode %#o): chmod 600 %s", mode.Perm(), quotePath(path))
	}
	return nil
}

// checkKind is all there is to check of a credential: systemd gives it to whom it
// is for by owner or, newer ones, by an access list, which shows as a group's bits.
func checkKind(mode fs.FileMode, _ string) error {
	switch {
	case mode.IsDir():
		return errors.New("it is a directory, not a regular file")
	case !mode.IsRegular():
		return errors.New("it is not a regular file")
	}
	return nil
}

// fromFile returns what parse makes of the file that a key of the table names,
// or if it names none the default. Where that is empty, there is no key.
func fromFile[K any](t table, key, def string, parse func(string) (K, error)) (k K) {
	path := t.text(key, def, strconv.Quote(cmp.Or(def, "/etc/postroad/partner.psk")), checkPath)
	if given, ok := t.values[key]; path == "" || ok && path != given {
		return k // no file, or text has told what is wrong with its name
	}
	data, err := t.d.env.ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: write the key there, with mode 0600", err)
	}
	if err != nil {
		t.problem(key, "%v", err)
		return k
	}
	k, err = parse(string(data))
	if err != nil {
		t.problem(key, "reading key file %s: %v", quotePath(path), err)
	}
	return k
}

func checkPath(path string) error {
	switch {
	case quotePath(path) == notShown:
		return errors.New("looks like a key: put that into a file, and give the file's path")
	case !filepath.IsAbs(path):
		return fmt.Errorf("%s is not an absolute path: give one such as %q", quotePath(path), DefaultKeyFile)
	}
	return nil
}

// hostname returns the system's name in full, without asking the network.
func hostname() (string, error) {
	name, err := os.Hostname()
	if err != nil || strings.Contains(name, ".") {
		return name, err
	}
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return name, nil // many systems have none
	}
	return canonical(name, string(hosts)), nil
}

// canonical returns the name in full that a hosts(5) file has for name, or name
// itself.
func canonical(name, hosts string) string {
	for line := range strings.Lines(hosts) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.Contains(fields[1], ".") || strings.HasPrefix(fields[1], "localhost.") {
			continue
		}
		for _, alias := range fields[1:] {
			if strings.EqualFold(alias, name) {
				return fields[1]
			}
		}
	}
	return name
}

// cause returns the error of a system call without the path, which the caller
// quotes.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

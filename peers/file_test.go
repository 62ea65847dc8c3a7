package peers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// write makes a file in a new directory and returns its path.
func write(t *testing.T, name, content string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestReadKeyFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(write(t, "key", privateText, 0o600), link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, want string // want has PATH for the quoted path; empty: no error
	}{
		{"owner's", write(t, "key", privateText, 0o600), ""},
		{"owner's, read only", write(t, "key", privateText, 0o400), ""},
		{"by a symbolic link", link, ""},
		{"group's", write(t, "key", privateText, 0o640), "reading key file PATH: others may use it (mode 0640): chmod 600 PATH"},
		{"everyone's", write(t, "key", privateText, 0o644), "reading key file PATH: others may use it (mode 0644): chmod 600 PATH"},
		{"writable", write(t, "key", privateText, 0o602), "reading key file PATH: others may use it (mode 0602): chmod 600 PATH"},
		{"missing", filepath.Join(dir, "none"), "opening key file PATH: no such file or directory"},
		{"control characters", "/none\x1b\n", "opening key file PATH: no such file or directory"},
		{"NUL", "/none\x00", "opening key file PATH: invalid argument"},
		{"key in the path", "/none/" + publicA, "opening key file (not shown): no such file or directory"},
		{"empty", write(t, "key", "", 0o600), "reading key file PATH: the file is empty"},
		{"large", write(t, "key", strings.Repeat("A", 4097), 0o600), "reading key file PATH: the file is too large for a key: at most 4096 bytes are read"},
		{"directory", dir, "reading key file PATH: it is a directory, not a regular file"},
		{"named pipe", fifo, "reading key file PATH: it is not a regular file"},
		{"device", "/dev/zero", "reading key file PATH: it is not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := ReadKeyFile(tt.path)
			if tt.want == "" {
				if err != nil || string(data) != privateText {
					t.Errorf("got %q, %v", data, err)
				}
				return
			}
			if want := strings.ReplaceAll(tt.want, "PATH", fmt.Sprintf("%q", tt.path)); fmt.Sprint(err) != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			noSecrets(t, err)
		})
	}
}

func TestReadKeyFileMissing(t *testing.T) {
	if _, err := ReadKeyFile("/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want one that is fs.ErrNotExist", err)
	}
}

func TestLoad(t *testing.T) {
	key := write(t, "private.key", privateText+"\n", 0o600)
	file := write(t, "postroad.toml", fmt.Sprintf("[host]\nname = \"mx1.example.org\"\nprivate_key_file = %q\n", key), 0o644)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(&Config{Host: defaults(t)}, c); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestLoadProblems(t *testing.T) {
	key := write(t, "private.key", privateText[:30], 0o600)
	file := write(t, "postroad.toml", fmt.Sprintf("[host]\nname = \"mx1.example.org\"\nprivate_key_file = %q\nmtu = 1\n", key), 0o644)
	_, err := Load(file)
	want := fmt.Sprintf("%s:3: host: private_key_file: reading key file %q: %v\n%s:4: host: mtu: 1 is out of range: give 1280 to 65535",
		file, key, errKeyText, file)
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	noSecrets(t, err)
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir + "/none": "opening peers file %q: no such file or directory",
		dir:           "opening peers file %q: it is not a regular file",
		pipe:          "opening peers file %q: it is not a regular file", // at once: nobody writes into it
	} {
		c, err := Load(path)
		if c != nil || fmt.Sprint(err) != fmt.Sprintf(want, path) {
			t.Errorf("got %v, %v, want %s", c, err, want)
		}
		if p := Problems(err); p != nil {
			t.Errorf("problems of an unreadable file: %v", p)
		}
	}
}

func TestLoadTooLarge(t *testing.T) {
	file := write(t, "postroad.toml", "", 0o644)
	if err := os.Truncate(file, 1<<30); err != nil {
		t.Fatal(err)
	}
	want := file + ":1: the file is too large: at most 16777216 bytes are read"
	if _, err := Load(file); fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A file of which nothing is left does not say that there are no peers.
func TestLoadRefusesAnEmptyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers.toml")
	for _, text := range []string{"", "\n", " \r\n\t\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want := file + ":1: the file is empty: write [[peer]] for each peer, or [host] if there is to be none"
		if _, err := Load(file); fmt.Sprint(err) != want || len(Problems(err)) != 1 {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// The private key file and the host name are wanted although no line names them.
func TestDecodeDefaultsMissing(t *testing.T) {
	env := Env{
		Hostname: func() (string, error) { return "", errors.New("no name") },
		ReadKey:  func(path string) ([]byte, error) { return nil, fmt.Errorf("opening %s: %w", path, fs.ErrNotExist) },
	}
	for in, line := range map[string]int{"": 1, "\n\n[host]\n": 3, "\n[[peer]]\n[host]\n": 3} {
		_, err := Decode("f", []byte(in), env)
		for _, want := range []string{
			"host: name: is missing, and the system's will not do: no name",
			"host: private_key_file: opening /etc/postroad/private.key: file does not exist: write the key there, with mode 0600",
		} {
			if want = fmt.Sprintf("f:%d: %s", line, want); !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%q: got %v, want %s", in, err, want)
			}
		}
	}
	env.Hostname = func() (string, error) { return "a\x1bb", nil }
	if _, err := Decode("f", nil, env); !strings.Contains(fmt.Sprint(err), `will not do: "a\x1bb" is not a host name`) {
		t.Errorf("got %v", err)
	}
}

func TestCanonical(t *testing.T) {
	const hosts = `# 192.0.2.1 mx1.comment.example mx1
127.0.0.1	localhost mx1
127.0.0.1	localhost.localdomain localhost mx1
192.0.2.9
127.0.1.1	mx1.example.org mx1 # ours
192.0.2.1	mx1.example.net mx1
192.0.2.2	mx2 mx2.example.org
`
	for name, want := range map[string]string{
		"mx1": "mx1.example.org",
		"MX1": "mx1.example.org",
		"mx2": "mx2",
		"mx3": "mx3",
	} {
		if got := canonical(name, hosts); got != want {
			t.Errorf("canonical(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestHostname(t *testing.T) {
	if name, err := hostname(); err != nil || name == "" {
		t.Errorf("got %q, %v", name, err)
	}
}

// Whatever is in a key file, it is a key or an error that names the file and
// quotes none of it.
func FuzzReadKeyFile(f *testing.F) {
	for _, text := range []string{
		privateText + "\n", " " + privateText, "", "\n", privateText[:40], privateText + privateText, "-----BEGIN PRIVATE KEY-----\n" + privateText, strings.Repeat("A", 5000),
		"\xef\xbb\xbf" + privateText, strings.ToLower(privateText), "PrivateKey = " + privateText, privateText[:20] + "\n" + privateText[20:],
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "private.key")
	env := Env{Hostname: testEnv.Hostname, ReadKey: ReadKeyFile}
	peersFile := []byte("[host]\nprivate_key_file = " + strconv.Quote(path) + "\n")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Decode("f", peersFile, env)
		want, keyErr := ParsePrivateKey(string(data))
		switch {
		case err == nil && (keyErr != nil || c.Host.PrivateKey != want):
			t.Errorf("%q is taken for a key", data)
		case err != nil && keyErr == nil && len(data) <= maxKeyFile:
			t.Errorf("%q is not taken: %v", data, err)
		case err != nil:
			checkProblems(t, peersFile, err)
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name the file", err)
			}
			quotesNone(t, err.Error(), data)
		}
	})
}

// quotesNone fails if words have more of a secret in them than could be chance.
func quotesNone(t *testing.T, words string, secret []byte) {
	t.Helper()
	for i := range len(secret) - maxDigits {
		if part := string(secret[i : i+maxDigits+1]); strings.Contains(words, part) && holdsKey(part) {
			t.Errorf("%q is in %q", part, words)
		}
	}
}

// Whatever else is wrong with a file, the names in it are those that it has if it
// is right.
func FuzzNamesIn(f *testing.F) {
	for _, text := range []string{Reference, uncommented(), string(manyPeers(3)), "", "peer = 1", "[[peer]]\nname = 1\n[[peer]]\nname = \"b\"\nx = \n", "peer = [{name = \"a\"}, {}]", "[peer]\nname = \"a\"\n"} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "postroad.toml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		names := NamesIn(path)
		for _, name := range names {
			if !isHostName(name) {
				t.Errorf("%q is a name", name)
			}
		}
		c, err := Decode(path, data, testEnv)
		if err != nil {
			return
		}
		var want []string
		for _, p := range c.Peers {
			want = append(want, p.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("the names are %q, want %q", names, want)
		}
	})
}

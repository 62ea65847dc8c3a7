package peers

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHostFile(t *testing.T) {
	h := Host{Name: "mx9.example.org", Addresses: addrs("198.51.100.7", "2001:db8:a::7"), Domains: []string{"example.org"}}
	text := HostFile(h, "/etc/other.key")
	c, err := Decode("f", []byte(text), Env{Hostname: testEnv.Hostname, ReadKey: func(path string) ([]byte, error) {
		if path != "/etc/other.key" {
			t.Errorf("the key is read from %s", path)
		}
		return []byte(privateText), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := defaults(t)
	want.Name, want.Addresses, want.Domains = h.Name, h.Addresses, h.Domains
	if d := diff(&Config{Host: want}, c); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	old, now := strings.Split(Reference, "\n"), strings.Split(text, "\n")
	changed := 0
	for i := range min(len(old), len(now)) {
		if old[i] != now[i] {
			changed++
		}
	}
	if len(old) != len(now) || changed != 4 {
		t.Errorf("%d lines changed", changed)
	}
	if HostFile(Host{}, DefaultKeyFile) != Reference {
		t.Error("a file without settings is not the reference")
	}
}

func TestMakeKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "key")
	key, made, err := MakeKeyFile(path)
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	again, made, err := MakeKeyFile(path)
	if err != nil || made || again != key {
		t.Errorf("the second time it is another: made %v, %v", made, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if all, _ := os.ReadDir(filepath.Dir(path)); len(all) != 1 {
		t.Errorf("the folder has %v", all)
	}
}

func TestMakeKeyFileKeepsWhatIsThere(t *testing.T) {
	for _, content := range []string{"", "broken " + privateText} {
		path := write(t, "key", content, 0o600)
		if _, made, err := MakeKeyFile(path); made || err == nil || strings.Contains(err.Error(), privateText) {
			t.Errorf("%q: made %v, %v", content, made, err)
		}
		checkFile(t, path, content)
	}
	dangling := filepath.Join(t.TempDir(), "key")
	if err := os.Symlink("/nowhere/key", dangling); err != nil {
		t.Fatal(err)
	}
	if _, made, err := MakeKeyFile(dangling); made || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made %v, %v", made, err)
	}
}

func TestKeyFileOf(t *testing.T) {
	for in, want := range map[string]string{
		"": DefaultKeyFile, "[host]\nprivate_key_file = \"/a/b\"\n" + partnerBlock + "preshared_key_file = \"/c\"\n": "/a/b",
	} {
		if got, err := KeyFileOf("f", []byte(in)); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

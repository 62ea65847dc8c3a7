package peers

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestNewPrivateKey(t *testing.T) {
	a, err := NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := NewPrivateKey()
	if a == b || a.IsZero() {
		t.Error("keys are not random")
	}
	back, err := ParsePrivateKey(" " + a.Reveal() + "\n")
	if err != nil || back != a {
		t.Errorf("does not read back: %v", err)
	}
}

// The vector of RFC 7748, section 6.1.
func TestPublic(t *testing.T) {
	k, err := ParsePrivateKey("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=")
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Public().String(); got != "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=" {
		t.Errorf("public key is %s", got)
	}
}

func TestReadKeyFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, path, want string }{
		{"sound", write("ok", "secret\n", 0o600), ""},
		{"read only", write("ro", "secret\n", 0o400), ""},
		{"missing", filepath.Join(dir, "none"), "no such file or directory"},
		{"world readable", write("world", "secret", 0o604), "chmod 600"},
		{"group readable", write("group", "secret", 0o640), "chmod 600"},
		{"group writable", write("writable", "secret", 0o620), "chmod 600"},
		{"empty", write("empty", "", 0o600), "the file is empty"},
		{"too large", write("large", strings.Repeat("secret", 1000), 0o600), "too large"},
		{"directory", dir, "it is a directory"},
		{"named pipe", fifo, "not a regular file"},
		{"device", "/dev/null", "not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			data, err := ReadKeyFile(test.path)
			switch {
			case test.want == "" && (err != nil || string(data) != "secret\n"):
				t.Errorf("got %q, %v", data, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret")):
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "postroad.toml")
	if err := os.WriteFile(key, []byte(ownKey.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "[host]\nname = \"mx1.example.org\"\nprivate_key_file = \"" + key + "\"\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(file); err != nil || c.Host.PrivateKey != ownKey {
		t.Errorf("Load: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestCanonical(t *testing.T) {
	hosts := "127.0.0.1 localhost\n127.0.1.1 mx1.example.org mx1 # comment\n"
	for name, want := range map[string]string{"mx1": "mx1.example.org", "MX1": "mx1.example.org", "other": "other", "comment": "comment"} {
		if got := canonical(name, hosts); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(ownKey.Reveal())
	f.Add("")
	f.Add(strings.Repeat("A", 43) + "=")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParsePublicKey(s)
		if err != nil {
			if len(s) > 5 && strings.Contains(err.Error(), s) && !strings.Contains(errKeyText.Error()+errKeyZero.Error(), s) {
				t.Errorf("quotes the text: %v", err)
			}
			return
		}
		if back, err := ParsePublicKey(k.String()); err != nil || back != k || k.String() != strings.TrimSpace(s) {
			t.Errorf("%q does not read back: %q", s, k)
		}
	})
}

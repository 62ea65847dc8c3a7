package packaging

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// unpacked is the Debian package for this machine, laid out in a folder.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run(t, "dpkg-deb", "-x", filepath.Join(packages(t), debName(runtime.GOARCH)), dir)
	return dir
}

// The manual pages are what man(1) and mandoc(1) take without a word, and say
// what they are to say.
func TestManual(t *testing.T) {
	need(t, "dpkg-deb", "man", "mandoc")
	dir := unpacked(t)
	for page, words := range map[string][]string{
		"man1/postroad.1.gz":      {"LOG LINES", "PEER STATES", "postroad reload", "-c, --config file", "Nothing stops SMTP", "2023-11-14"},
		"man5/postroad.toml.5.gz": {"listen_port", "Default: 51825.", "preshared_key_file", "public_key = \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\""},
	} {
		path := filepath.Join(dir, "usr/share/man", page)
		if out, err := exec.Command("mandoc", "-Tlint", "-Wwarning", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("mandoc: %v\n%s", err, out)
		}
		cmd := exec.Command("man", "--warnings", "-l", "-Tutf8", path)
		cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=200", "GROFF_NO_SGR=1", "MANPAGER=cat")
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "warning") && strings.Contains(string(out), "<standard input>") {
			t.Errorf("man: %v\n%s", err, out)
		}
		text := plainText(string(out))
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%s lacks %q:\n%s", page, w, text)
			}
		}
	}
}

// plainText takes out what makes letters bold on a typewriter, and the spaces that make lines end at the margin: which
// of them are wide changes with every word before them.
func plainText(s string) string {
	var out []rune
	for _, r := range s {
		if r == '\b' && len(out) > 0 {
			out = out[:len(out)-1]
			continue
		}
		out = append(out, r)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// The service's documentation is found by systemctl help.
func TestUnitNamesTheManual(t *testing.T) {
	unit := run(t, "cat", filepath.Join(unpacked(t), "usr/lib/systemd/system/postroad.service"))
	if !strings.Contains(unit, "\nDocumentation=man:postroad(1) man:postroad.toml(5) file:/usr/share/doc/postroad/README.md\n") {
		t.Errorf("Documentation= is another:\n%s", unit)
	}
}

// Package packaging tests what scripts/package makes.
package packaging

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const version = "1.2.3"

// machines are the architectures: our name, RPM's, and that of the binary.
var machines = []struct {
	deb, rpm string
	elf      elf.Machine
}{
	{"amd64", "x86_64", elf.EM_X86_64},
	{"arm64", "aarch64", elf.EM_AARCH64},
}

// files is what both kinds of package contain, as mode and path.
var files = []string{
	"drwxr-xr-x /etc/postroad",
	"-rw-r--r-- /etc/postroad/postroad.toml",
	"-rw-r--r-- /usr/lib/NetworkManager/conf.d/postroad.conf",
	"-rw-r--r-- /usr/lib/systemd/network/05-postroad.network",
	"-rw-r--r-- /usr/lib/systemd/networkd.conf.d/50-postroad.conf",
	"-rw-r--r-- /usr/lib/systemd/system/postroad.service",
	"-rw-r--r-- /usr/lib/sysusers.d/postroad.conf",
	"-rw-r--r-- /usr/lib/tmpfiles.d/postroad.conf",
	"-rwxr-xr-x /usr/sbin/postroad",
	"-rw-r--r-- /usr/share/bash-completion/completions/postroad",
	"drwxr-xr-x /usr/share/doc/postroad",
	"-rw-r--r-- /usr/share/doc/postroad/README.md",
	"-rw-r--r-- /usr/share/doc/postroad/copyright",
	"drwxr-xr-x /usr/share/doc/postroad/examples",
	"-rw-r--r-- /usr/share/doc/postroad/examples/alerts.yml",
	"-rw-r--r-- /usr/share/doc/postroad/examples/dashboard.json",
	"-rw-r--r-- /usr/share/doc/postroad/examples/postroad.toml",
	"-rw-r--r-- /usr/share/doc/postroad/licences",
	"-rw-r--r-- /usr/share/fish/vendor_completions.d/postroad.fish",
	"-rw-r--r-- /usr/share/man/man1/postroad.1.gz",
	"-rw-r--r-- /usr/share/man/man5/postroad.toml.5.gz",
}

var (
	debFiles = append([]string{
		"-rw-r--r-- /usr/share/doc/postroad/changelog.gz",
		"-rw-r--r-- /usr/share/lintian/overrides/postroad",
		"-rw-r--r-- /usr/share/zsh/vendor-completions/_postroad",
	}, files...)
	rpmFiles = append([]string{"-rw-r--r-- /usr/share/zsh/site-functions/_postroad"}, files...)
)

func debName(arch string) string { return "postroad_" + version + "_" + arch + ".deb" }
func rpmName(arch string) string { return "postroad-" + version + "-1." + arch + ".rpm" }

// made makes all packages once, for all tests, of a copy of the source: it may
// be edited meanwhile. In the folder are the packages in "out", the copy in "source".
var made = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "packages")
	if err != nil {
		return "", err
	}
	if err := copyTree("../..", filepath.Join(dir, "source")); err != nil {
		return dir, err
	}
	return dir, build(filepath.Join(dir, "source"), filepath.Join(dir, "out"), "")
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := made(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// copyTree copies what a clone has checked out.
func copyTree(from, to string) error {
	cmd := exec.Command("bash", "-c", `mkdir "$1" && tar -C "$0" --exclude ./.git --exclude ./.cache -cf - . | tar -C "$1" -xf -`, from, to)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copying the source: %w\n%s", err, text)
	}
	return nil
}

// build runs scripts/package of the clone in root, with some shell commands before.
func build(root, out, before string) error {
	cmd := exec.Command("bash", "-c", before+"\nscripts/package --out "+out)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000", "MAINTAINER=A Tester <tester@mail.test>")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/package: %w\n%s", err, text)
	}
	return nil
}

func packages(t *testing.T) string {
	t.Helper()
	dir, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "out")
}

// need skips the test where a program is missing, unless nothing may be skipped.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("POSTROAD_TEST_ROOT") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// run returns what a command prints; it must succeed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		var e *exec.ExitError
		if errors.As(err, &e) {
			t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, e.Stderr)
		}
		t.Fatal(err)
	}
	return string(out)
}

// The same source makes the same bytes, wherever, by whomever and when.
func TestReproducible(t *testing.T) {
	first, second := packages(t), t.TempDir()
	clone := filepath.Join(t.TempDir(), "in quite another folder")
	if err := copyTree(filepath.Join(first, "../source"), clone); err != nil {
		t.Fatal(err)
	}
	if err := build(clone, second, "umask 077; export TZ=Asia/Tokyo LANG=C.UTF-8 GOAMD64=v3"); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(first)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 2*len(machines) {
		t.Errorf("%d packages", len(names))
	}
	for _, n := range names {
		a, errA := os.ReadFile(filepath.Join(first, n.Name()))
		b, errB := os.ReadFile(filepath.Join(second, n.Name()))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not the same", n.Name())
		}
		t.Logf("figure: %s has %.1f MB", n.Name(), float64(len(a))/1e6)
	}
}

func TestDeb(t *testing.T) {
	need(t, "dpkg-deb")
	for _, m := range machines {
		t.Run(m.deb, func(t *testing.T) {
			deb := filepath.Join(packages(t), debName(m.deb))
			got, program := contents(t, deb)
			if diff := cmp.Diff(sorted(debFiles), got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if got := run(t, "dpkg-deb", "-I", deb, "conffiles"); got != "/etc/postroad/postroad.toml\n" {
				t.Errorf("conffiles %q", got)
			}
			if got := run(t, "dpkg-deb", "-f", deb, "Version", "Architecture"); got != "Version: 1.2.3\nArchitecture: "+m.deb+"\n" {
				t.Errorf("control: %s", got)
			}
			checkProgram(t, program, m.elf)
		})
	}
}

// contents lists a package's files, without the folders that others own, too,
// and returns the program. Everything must be root's.
func contents(t *testing.T, deb string) (list []string, program []byte) {
	t.Helper()
	archive := tar.NewReader(strings.NewReader(run(t, "dpkg-deb", "--fsys-tarfile", deb)))
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return sorted(list), program
		}
		if err != nil {
			t.Fatal(err)
		}
		path := strings.TrimSuffix(strings.TrimPrefix(h.Name, "."), "/")
		if h.Uname != "root" || h.Gname != "root" || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s belongs to %s:%s", path, h.Uname, h.Gname)
		}
		if h.Typeflag != tar.TypeDir || strings.Contains(path, "/postroad") {
			list = append(list, h.FileInfo().Mode().String()+" "+path)
		}
		if path == "/usr/sbin/postroad" {
			if program, err = io.ReadAll(archive); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkProgram makes sure that the program is for the machine, static, and says
// nothing of the machine that it was built on.
func checkProgram(t *testing.T, program []byte, want elf.Machine) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != want {
		t.Errorf("built for %v", f.Machine)
	}
	if libraries, _ := f.ImportedLibraries(); len(libraries) > 0 {
		t.Errorf("needs %v", libraries)
	}
	for _, path := range append(strings.Fields(run(t, "go", "env", "GOROOT", "GOMODCACHE", "GOCACHE")), filepath.Dir(packages(t)), os.TempDir()+"/package.") {
		if bytes.Contains(program, []byte(path)) {
			t.Errorf("contains the path %s", path)
		}
	}
}

func TestRPM(t *testing.T) {
	need(t, "rpm")
	for _, m := range machines {
		t.Run(m.rpm, func(t *testing.T) {
			rpm := filepath.Join(packages(t), rpmName(m.rpm))
			query := func(format string) []string {
				return strings.Split(strings.TrimSpace(run(t, "rpm", "-qp", "--qf", format, rpm)), "\n")
			}
			if diff := cmp.Diff(sorted(rpmFiles), sorted(query(`[%{FILEMODES:perms} %{FILENAMES}\n]`))); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			for _, owner := range query(`[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]`) {
				if !strings.HasPrefix(owner, "root:root ") {
					t.Errorf("not root's: %s", owner)
				}
			}
			for _, flags := range query(`[%{FILEFLAGS:fflags} %{FILENAMES}\n]`) {
				kind, path, _ := strings.Cut(flags, " ")
				if isConfig := path == "/etc/postroad/postroad.toml"; isConfig != (kind == "cn") { // config, noreplace
					t.Errorf("flags %q of %s", kind, path)
				}
			}
			if got := query("%{VERSION} %{ARCH} %{BUILDHOST}"); got[0] != "1.2.3 "+m.rpm+" postroad" {
				t.Errorf("%s", got)
			}
		})
	}
}

// All scripts of all packages are sound POSIX sh.
func TestMaintainerScripts(t *testing.T) {
	need(t, "dpkg-deb", "rpm", "shellcheck")
	deb, rpm := filepath.Join(packages(t), debName("amd64")), filepath.Join(packages(t), rpmName("x86_64"))
	scripts := map[string]string{
		"rpm prein":  run(t, "rpm", "-qp", "--qf", "%{PREIN}", rpm),
		"rpm postin": run(t, "rpm", "-qp", "--qf", "%{POSTIN}", rpm),
		"rpm preun":  run(t, "rpm", "-qp", "--qf", "%{PREUN}", rpm),
		"rpm postun": run(t, "rpm", "-qp", "--qf", "%{POSTUN}", rpm),
	}
	for _, name := range []string{"preinst", "postinst", "prerm", "postrm"} {
		scripts["deb "+name] = run(t, "dpkg-deb", "-I", deb, name)
	}
	for name, text := range scripts {
		check := exec.Command("shellcheck", "-s", "sh", "-")
		check.Stdin = strings.NewReader(text)
		if out, err := check.CombinedOutput(); err != nil || text == "" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestLintian(t *testing.T) {
	need(t, "lintian")
	args := []string{"--no-cfg"}
	for _, m := range machines {
		args = append(args, filepath.Join(packages(t), debName(m.deb)))
	}
	out, err := exec.Command("lintian", args...).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("\nE: ")) || bytes.HasPrefix(out, []byte("E: ")) {
		t.Errorf("%v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("manual")) || bytes.Contains(out, []byte("groff")) {
		t.Errorf("something is wrong with the manual pages:\n%s", out)
	}
}

// Versions order as history does, for dpkg and for rpm.
func TestVersions(t *testing.T) {
	need(t, "git", "dpkg", "rpm")
	stage, err := filepath.Abs("../stage")
	if err != nil {
		t.Fatal(err)
	}
	commit := `git -c user.name=x -c user.email=x@mail.test commit -q --allow-empty -m x; `
	out := exec.Command("bash", "-euc", `. "$0"; unset VERSION; git init -q
export GIT_COMMITTER_DATE='2026-01-02T23:59:59+1200'; `+commit+`version
export GIT_COMMITTER_DATE='2026-01-02T23:59:59+0000'; `+commit+`version
git tag v0.3.0-rc1; version
git tag -d v0.3.0-rc1 >/dev/null; git tag v0.3.0; version`, stage)
	out.Dir = t.TempDir()
	text, err := out.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	versions := strings.Fields(string(text))
	if len(versions) != 4 || versions[2] != "0.3.0~rc1" || versions[3] != "0.3.0" {
		t.Fatalf("versions %q", versions)
	}
	for i, newer := range versions[1:] {
		run(t, "dpkg", "--compare-versions", versions[i], "lt", newer)
		if got := run(t, "rpm", "--eval", fmt.Sprintf(`%%{lua:print(rpm.vercmp(%q, %q))}`, versions[i], newer)); got != "-1\n" {
			t.Errorf("for rpm, %s is not older than %s", versions[i], newer)
		}
	}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(a[strings.Index(a, " "):], b[strings.Index(b, " "):]) })
	return list
}

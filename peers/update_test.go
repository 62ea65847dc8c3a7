package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be a program that appends to a file, for tests
// that need several: its arguments are then file, text, times, and the largest
// file that it may write, in bytes, or 0.
func TestMain(m *testing.M) {
	if os.Getenv("PEERS_TEST_APPEND") == "" {
		os.Exit(m.Run())
	}
	var times int
	var limit uint64
	fmt.Sscan(os.Args[3]+" "+os.Args[4], &times, &limit)
	if limit > 0 {
		must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}))
	}
	for range times {
		must(appendText(context.Background(), os.Args[1], os.Args[2]))
	}
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func appendText(ctx context.Context, path, text string) error {
	return Update(ctx, path, func(data []byte) ([]byte, error) { return append(data, text...), nil })
}

// appender returns the command that appends text to a file so many times.
func appender(path, text string, times, limit int) *exec.Cmd {
	cmd := exec.Command(os.Args[0], path, text, fmt.Sprint(times), fmt.Sprint(limit))
	cmd.Env = append(os.Environ(), "PEERS_TEST_APPEND=1")
	return cmd
}

// checkFile fails unless the file has that content, and its folder only it.
func checkFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if all, _ := os.ReadDir(filepath.Dir(path)); len(all) != 1 {
		t.Errorf("the folder has %v", all)
	}
}

func TestUpdateKeepsModeOwnerAndLink(t *testing.T) {
	path := write(t, "f.toml", "a", 0o640)
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12, 34); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(path)
	if err := appendText(t.Context(), link, "b"); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path, "ab")
	after, _ := os.Stat(path)
	old, now := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
	if old.Mode != now.Mode || old.Uid != now.Uid || old.Gid != now.Gid {
		t.Errorf("mode and owner were %o %d:%d and are %o %d:%d", old.Mode, old.Uid, old.Gid, now.Mode, now.Uid, now.Gid)
	}
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("the link leads to %q, %v", to, err)
	}
}

// Several processes at once lose nothing that another wrote.
func TestUpdateAtOnce(t *testing.T) {
	const each = 30
	path := write(t, "f.toml", "", 0o600)
	var running []*exec.Cmd
	for _, text := range []string{"a", "b", "c"} {
		cmd := appender(path, text, each, 0)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(path)
	for _, text := range []string{"a", "b", "c"} {
		if n := strings.Count(string(got), text); n != each {
			t.Errorf("%q is there %d times, want %d", text, n, each)
		}
	}
}

// Where the file cannot be written whole, it is as before, and nothing else is left.
func TestUpdateWithoutSpace(t *testing.T) {
	const before = "all that was there"
	path := write(t, "f.toml", before, 0o600)
	out, err := appender(path, strings.Repeat("x", 9000), 1, 4096).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "which is as it was: ") || !strings.Contains(string(out), "file too large") {
		t.Errorf("got %v, %s", err, out)
	}
	checkFile(t, path, before)
}

func TestUpdateFails(t *testing.T) {
	path := write(t, "f.toml", "a", 0o600)
	no := errors.New("no")
	if err := Update(t.Context(), path, func([]byte) ([]byte, error) { return []byte("b"), no }); err != no {
		t.Errorf("got %v, want that of the change", err)
	}
	checkFile(t, path, "a")
	for _, bad := range []string{filepath.Dir(path), filepath.Join(path, "x"), path + "x"} {
		if err := appendText(t.Context(), bad, "b"); err == nil || !strings.Contains(err.Error(), "opening") && !strings.Contains(err.Error(), "regular") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

// A program that holds the folder for ever does not hold us.
func TestUpdateDoesNotWaitForEver(t *testing.T) {
	path := write(t, "f.toml", "a", 0o600)
	unlock, err := lockDir(t.Context(), filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := appendText(ctx, path, "b"); err == nil || !strings.Contains(err.Error(), "another program holds the folder") {
		t.Errorf("got %v", err)
	}
	checkFile(t, path, "a")
}

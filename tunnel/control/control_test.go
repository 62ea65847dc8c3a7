package control

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postroad/peers"
	"postroad/tunnel"
)

type fakeDaemon struct{ reload, down error }

func (f fakeDaemon) Status(context.Context) (tunnel.Status, error) {
	return tunnel.Status{Host: "mx1.alpha.example", PublicKey: peers.PublicKey{1}}, nil
}
func (f fakeDaemon) Reload(context.Context) error { return f.reload }
func (f fakeDaemon) Down(context.Context) error   { return f.down }

// serve runs a server at a fresh socket until the test ends.
func serve(t *testing.T, d Daemon) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postroad", "control.sock")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, d, answers) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return path
}

func TestRequests(t *testing.T) {
	path := serve(t, fakeDaemon{reload: errors.Join(errors.New("f:1: one"), errors.New("f:2: two"))})
	c := Client{Socket: path}
	if s, err := c.Status(t.Context()); err != nil || s.Host != "mx1.alpha.example" {
		t.Errorf("Status: %+v, %v", s, err)
	}
	var r *RefusedError
	if os.Geteuid() != 0 {
		if err := c.Reload(t.Context()); !errors.As(err, &r) || r.File || !strings.Contains(err.Error(), "only root may reload") {
			t.Errorf("Reload by another user: %v", err)
		}
		return
	}
	if err := c.Reload(t.Context()); !errors.As(err, &r) || !slices.Equal(r.Errors, []string{"f:1: one", "f:2: two"}) {
		t.Errorf("Reload: %v", err)
	}
	if err := c.Down(t.Context()); err != nil {
		t.Errorf("Down: %v", err)
	}
}

// Whoever may read cannot keep connections open without end, with all that the
// daemon needs for them.
func TestNobodyStays(t *testing.T) {
	path := serve(t, fakeDaemon{})
	for _, request := range []string{
		"GET /status HTTP/1.1\r\nHost: x\r\n\r\n", "POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx",
		"GET /status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(4 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(answer) == 0 {
			t.Errorf("%q is answered with %q, and then %v", request, answer, err)
		}
	}
}

// Others than root and the group, if there is one here, are kept out; the folder
// lets all pass whatever the umask.
func TestSocketIsNotForEverybody(t *testing.T) {
	old := syscall.Umask(0o077)
	path := serve(t, fakeDaemon{})
	syscall.Umask(old)
	for p, ok := range map[string][]os.FileMode{filepath.Dir(path): {0o755}, path: {0o660, 0o600}, path + ".lock": {0o600}} {
		info, err := os.Stat(p)
		if err != nil || !slices.Contains(ok, info.Mode().Perm()) {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	path := serve(t, fakeDaemon{})
	if s, err := Listen(path); !errors.Is(err, ErrRunning) {
		t.Errorf("Listen: %v, %v", s, err)
	}
	if _, err := (Client{Socket: path}).Status(t.Context()); err != nil {
		t.Errorf("the first one lost its socket: %v", err)
	}
}

// A daemon that was killed leaves its socket and lock behind.
func TestStaleSocketIsTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := (Client{Socket: path}).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("asking a dead daemon: %v", err)
	}
	again, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestNoSocket(t *testing.T) {
	c := Client{Socket: filepath.Join(t.TempDir(), "none")}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Status: %v", err)
	}
}

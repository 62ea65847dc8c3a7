package control

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// answers is what stands in for metrics.
var answers = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "postroad_up 1\n") })

func TestRights(t *testing.T) {
	for _, test := range []struct {
		method, path string
		root, others int // status codes
	}{
		{"GET", "/status", 200, 200},
		{"GET", "/metrics", 200, 200},
		{"POST", "/reload", 200, 403},
		{"POST", "/down", 200, 403},
		{"GET", "/reload", 405, 405},
		{"GET", "/down", 405, 405},
		{"POST", "/status", 405, 405},
	} {
		for uid, want := range map[any]int{uint32(0): test.root, uint32(1000): test.others, nobody: test.others, nil: test.others} {
			d := &countingDaemon{}
			r := httptest.NewRequest(test.method, test.path, nil)
			r = r.WithContext(context.WithValue(r.Context(), askerKey{}, uid))
			w := httptest.NewRecorder()
			handler(d, answers).ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s %s by %v: %d, want %d", test.method, test.path, uid, w.Code, want)
			}
			if changed := d.orders > 0; changed != (want == 200 && test.method == "POST") {
				t.Errorf("%s %s by %v: the daemon was told to (%v)", test.method, test.path, uid, changed)
			}
			if w.Code == 403 && !strings.Contains(w.Body.String(), "only root may") {
				t.Errorf("%s %s by %v: says %s", test.method, test.path, uid, w.Body)
			}
		}
	}
}

type countingDaemon struct {
	fakeDaemon
	orders int
}

func (d *countingDaemon) Reload(context.Context) error { d.orders++; return nil }
func (d *countingDaemon) Down(context.Context) error   { d.orders++; return nil }

// The kernel tells who asks.
func TestWithAsker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := net.Dial("unix", path); err == nil {
			defer c.Close()
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := withAsker(t.Context(), c).Value(askerKey{}); got != uint32(os.Getuid()) {
		t.Errorf("asked by %v, want %d", got, os.Getuid())
	}
}

func TestShare(t *testing.T) {
	group, err := user.LookupGroupId(strconv.Itoa(os.Getegid()))
	if os.Geteuid() == 0 { // one that new files have not anyway
		group, err = user.LookupGroup("daemon")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		group string
		mode  os.FileMode
		gid   string
	}{
		{group.Name, 0o660, group.Gid},
		{"no-such-group", 0o600, strconv.Itoa(os.Getegid())},
	} {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := share(path, test.group); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if gid := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid)); info.Mode().Perm() != test.mode || gid != test.gid {
			t.Errorf("group %s: %s, gid %s; want %s, %s", test.group, info.Mode(), gid, test.mode, test.gid)
		}
	}
}

func TestMetrics(t *testing.T) {
	var b strings.Builder
	c := Client{Socket: serve(t, fakeDaemon{})}
	if err := c.Metrics(t.Context(), &b); err != nil || b.String() != "postroad_up 1\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	c.Socket += ".none"
	if err := c.Metrics(t.Context(), &b); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without a daemon: %v", err)
	}
}

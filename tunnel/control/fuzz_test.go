package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/peers"
	"postroad/tunnel"
)

// pairs is a listener whose connections are pairs of sockets: who made a pair is
// who asks, as far as the kernel tells.
type pairs struct {
	made   chan net.Conn
	closed chan struct{}
}

func (p pairs) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pairs) Close() error   { close(p.closed); return nil }
func (p pairs) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// dial connects as a user.
func (p pairs) dial(t testing.TB, uid int) *net.UnixConn {
	t.Helper()
	ends := pair(t, uid)
	p.made <- asConn(t, ends[0])
	return asConn(t, ends[1])
}

// pair makes a pair of sockets as a user, whom only this thread is meanwhile.
func pair(t testing.TB, uid int) [2]int {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was := os.Geteuid()
	if uid != was {
		become(t, uid)
		defer become(t, was)
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ends
}

func become(t testing.TB, uid int) {
	t.Helper()
	const unchanged = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, unchanged, uintptr(uid), unchanged); errno != 0 {
		t.Fatalf("becoming the user %d: %v", uid, errno)
	}
}

func asConn(t testing.TB, fd int) *net.UnixConn {
	t.Helper()
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// An orderly daemon counts what it is told to do.
type orderly struct {
	fakeDaemon
	orders atomic.Int64
}

func (d *orderly) Reload(context.Context) error { d.orders.Add(1); return errors.New("f:1: one") }
func (d *orderly) Down(context.Context) error   { d.orders.Add(1); return nil }

// Whatever a client says: the server ends with it, and answers the next one; what
// it says is HTTP; and who is not root cannot have it do anything.
func FuzzServer(f *testing.F) {
	const end = " HTTP/1.1\r\nHost: postroad\r\n"
	for _, request := range []string{
		"GET /status" + end + "Connection: close\r\n\r\n", "POST /reload" + end + "\r\n", "POST /down" + end + "Content-Length: 2\r\n\r\n{}",
		"GET /metrics HTTP/1.0\r\n\r\n", "POST /%72eload" + end + "\r\n", "POST //down" + end + "\r\n", "POST /x/../down" + end + "\r\n",
		"POST http://postroad/down" + end + "\r\n", "GET /down" + end + "X-HTTP-Method-Override: POST\r\n\r\n",
		"GET /status" + end + "\r\nPOST /down" + end + "\r\n", "POST /status" + end + "Transfer-Encoding: chunked\r\n\r\n29\r\nPOST /down" + end + "\r\n\r\n0\r\n\r\n",
		"POST /reload" + end + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", "POST /down" + end + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"CONNECT /down" + end + "\r\n", "OPTIONS *" + end + "\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /status" + end + "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
		"\x16\x03\x01\x00\xa5\x01", "", "\r\n\r\n", "GET /status", "GET /" + strings.Repeat("a", 5000) + end + "\r\n",
	} {
		f.Add([]byte(request), false)
		f.Add([]byte(request), true)
	}
	d, l := &orderly{}, pairs{make(chan net.Conn), make(chan struct{})}
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan error, 1)
	go func() { done <- (&Server{listener: l}).Serve(ctx, d, answers) }()
	f.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, request []byte, root bool) {
		uid := os.Geteuid()
		if uid == 0 && !root {
			uid = 65534
		}
		before := d.orders.Load()
		said := l.talk(t, uid, request)
		checkAnswers(t, said)
		if n := d.orders.Load() - before; n > int64(bytes.Count(request, []byte("POST"))) || n > 0 && uid != 0 {
			t.Errorf("%d orders by the user %d are obeyed", n, uid)
		}
		said = l.talk(t, uid, []byte("GET /status HTTP/1.1\r\nHost: postroad\r\nConnection: close\r\n\r\n"))
		if !bytes.HasPrefix(said, []byte("HTTP/1.1 200 OK\r\n")) || !bytes.Contains(said, []byte(`"mx1.alpha.example"`)) {
			t.Errorf("what is asked next is answered with %q", said)
		}
	})
}

// talk says something as a user, and returns all that is answered.
func (p pairs) talk(t *testing.T, uid int, request []byte) []byte {
	t.Helper()
	c := p.dial(t, uid)
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() { // the server may have heard enough before the end
		_, _ = c.Write(request)
		_ = c.CloseWrite()
	}()
	said, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Fatalf("it goes on: %v", err)
	}
	return said
}

// checkAnswers fails if what a server says is no HTTP.
func checkAnswers(t *testing.T, said []byte) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(said))
	for {
		if _, err := r.Peek(1); err != nil {
			return
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return // to a HEAD: what follows is not to be told from a body
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return
		}
		if res.StatusCode < 100 || res.StatusCode > 505 {
			t.Errorf("it answers %s", res.Status)
		}
	}
}

// Whatever who listens at the socket says, asking it ends; an answer that is taken
// says the same when it is told again, and one that is not taken is an error.
func FuzzClient(f *testing.F) {
	status, err := json.Marshal(tunnel.Status{Host: "mx1.alpha.example", PublicKey: peers.PublicKey{1}, Peers: []tunnel.PeerStatus{{Name: "b", State: tunnel.Clear}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + string(status), "HTTP/1.1 200 OK\r\n\r\n{}",
		"HTTP/1.1 422 Unprocessable Entity\r\n\r\n{\"errors\":[\"f:1: one\"],\"file\":true}", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: /down\r\n\r\n", "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://192.0.2.1/\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
		"", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\n\r\nnull", "HTTP/1.1 404 Not Found\r\n\r\n404 page not found\n",
	} {
		f.Add([]byte(answer))
	}
	socket := filepath.Join(f.TempDir(), "s")
	answer := listenFor(f, socket)
	f.Fuzz(func(t *testing.T, said []byte) {
		answer.Store(&said)
		c := Client{Socket: socket}
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		s, err := c.Status(ctx)
		checkStatus(t, s, err)
		for _, err := range []error{err, c.Reload(ctx), c.Metrics(ctx, io.Discard)} {
			if err != nil && (err.Error() == "" || errors.Is(err, ErrNotRunning) || errors.Is(err, errNoAnswer)) {
				t.Errorf("%q ends with %v", said, err)
			}
		}
		if ctx.Err() != nil {
			t.Errorf("%q is waited for", said)
		}
	})
}

func checkStatus(t *testing.T, s tunnel.Status, err error) {
	t.Helper()
	if err != nil {
		return
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(peers.PublicKey{}.String())) { // which no daemon has
		return
	}
	var again tunnel.Status
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatalf("%s is not read again: %v", text, err)
	}
	if told, err := json.Marshal(again); err != nil || !bytes.Equal(told, text) {
		t.Errorf("%s is told again as %s (%v)", text, told, err)
	}
}

// listenFor answers every request at a socket with the same, and hangs up.
func listenFor(f *testing.F, socket string) *atomic.Pointer[[]byte] {
	f.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	answer := &atomic.Pointer[[]byte]{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			for r := bufio.NewReader(c); ; {
				if line, err := r.ReadString('\n'); err != nil || line == "\r\n" {
					break
				}
			}
			_, _ = c.Write(*answer.Load())
			c.Close()
		}
	}()
	return answer
}

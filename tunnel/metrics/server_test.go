package metrics

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

func newServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{Handler: Handler(New("1.2.3", &fake{report: wellReport()})), Log: slog.New(slog.DiscardHandler)}
	t.Cleanup(s.Close)
	return s
}

// free returns an address that nobody has.
func free(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// request returns the status and body of an answer; 0: nobody listens.
func request(t testing.TB, method string, at netip.AddrPort, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+at.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if errors.Is(err, unix.ECONNREFUSED) {
		return 0, ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestServerFollowsTheFile(t *testing.T) {
	s := newServer(t)
	a, b := free(t), free(t)
	for _, step := range []struct{ at, open, shut netip.AddrPort }{
		{at: a, open: a, shut: b}, {at: a, open: a, shut: b}, {at: b, open: b, shut: a}, {shut: b}, {at: a, open: a},
	} {
		if err := s.Expose(step.at); err != nil {
			t.Fatal(err)
		}
		if step.open.IsValid() {
			if code, body := request(t, "GET", step.open, "/metrics"); code != 200 || !strings.Contains(body, "postroad_up 1") {
				t.Errorf("%s: %d %s", step.open, code, body)
			}
		}
		if step.shut.IsValid() {
			if code, _ := request(t, "GET", step.shut, "/metrics"); code != 0 {
				t.Errorf("%s still answers: %d", step.shut, code)
			}
		}
	}
}

// Every IPv4 address is not every IPv6 one, too.
func TestServerKeepsToItsFamily(t *testing.T) {
	s := newServer(t)
	at := free(t)
	if err := s.Expose(netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())); err != nil {
		t.Fatal(err)
	}
	if code, _ := request(t, "GET", at, "/metrics"); code != 200 {
		t.Errorf("%s: %d", at, code)
	}
	if c, err := net.Dial("tcp", netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()).String()); err == nil {
		c.Close()
		t.Error("it answers over IPv6")
	}
}

// Nothing but metrics is to be had there: neither status nor orders.
func TestServerAnswersNothingElse(t *testing.T) {
	s := newServer(t)
	at := free(t)
	if err := s.Expose(at); err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/metrics", 200}, {"HEAD", "/metrics", 200}, {"POST", "/metrics", 405}, {"GET", "/", 404}, {"GET", "/status", 404},
		{"POST", "/reload", 404}, {"POST", "/down", 404}, {"GET", "/debug/pprof/", 404}, {"GET", "/metrics/x", 404},
	} {
		if code, _ := request(t, r.method, at, r.path); code != r.code {
			t.Errorf("%s %.20s: %d, want %d", r.method, r.path, code, r.code)
		}
	}
}

// A port that somebody else has is an error until it is free, and one that
// answering broke off at is opened again.
func TestServerTriesAgain(t *testing.T) {
	s := newServer(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := other.Addr().(*net.TCPAddr).AddrPort()
	err = s.Expose(at)
	if !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "opening "+at.String()+" for metrics: address already in use: ") {
		t.Errorf("taken: %v", err)
	}
	other.Close()
	if err := s.Expose(at); err != nil {
		t.Fatal(err)
	}
	s.server.Close() // breaks it off
	s.ended <- <-s.ended
	if err := s.Expose(at); err != nil {
		t.Fatal(err)
	}
	if code, _ := request(t, "GET", at, "/metrics"); code != 200 {
		t.Errorf("does not answer again: %d", code)
	}
}

// Whatever is sent to the port: it ends, brings nothing but metrics, and the next
// scrape gets its own.
func FuzzServer(f *testing.F) {
	const end = " HTTP/1.1\r\nHost: x\r\n"
	for _, text := range []string{
		"GET /metrics" + end + "Connection: close\r\n\r\n", "HEAD /metrics" + end + "\r\n", "GET /metrics HTTP/1.0\r\n\r\n", "GET /status" + end + "\r\n",
		"POST /down" + end + "Content-Length: 3\r\n\r\nabc", "GET /metrics" + end + "Accept: application/openmetrics-text; version=1.0.0\r\nAccept-Encoding: gzip\r\n\r\n",
		"GET /%6detrics" + end + "\r\n", "GET /metrics?name[]=x" + end + "\r\n", "GET //metrics" + end + "\r\n", "GET /" + strings.Repeat("a", 9000) + end + "\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x00\xa5\x01", "", "GET /metrics" + end + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "GET / HTTP/1.1\nHost: x\n\n",
	} {
		f.Add([]byte(text))
	}
	ours := prometheus.NewRegistry() // what else there is to tell takes its time
	ours.MustRegister(&collector{source: &fake{report: wellReport()}})
	s, at := newServer(f), free(f)
	s.Handler = Handler(ours)
	if err := s.Expose(at); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := errors.Join(c.SetDeadline(time.Now().Add(8*time.Second)), c.SetLinger(0)); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = c.Write(said)
			_ = c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Fatalf("it goes on: %v", err)
		}
		for part := range strings.SplitSeq(string(got), "HTTP/1.") {
			if len(part) > 1 && strings.HasPrefix(part[1:], " 200 ") && !strings.Contains(part, "text/plain; version=") && !strings.Contains(part, "openmetrics-text") {
				t.Errorf("%q is answered with %.200q", said, part)
			}
		}
		if code, body := request(t, "GET", at, "/metrics"); code != 200 || !strings.Contains(body, "postroad_up 1") {
			t.Errorf("the next scrape gets %d %.100s", code, body)
		}
	})
}

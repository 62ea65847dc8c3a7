package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be a process that makes a lab and never closes it, for [TestKilled].
func TestMain(m *testing.M) {
	if os.Getenv("LAB_TEST_KILLED") != "" {
		beKilled()
	}
	os.Exit(m.Run())
}

// mustRun skips where a lab cannot be made, or fails if POSTROAD_TEST_ROOT=1 says that it must.
func mustRun(t *testing.T) {
	t.Helper()
	_, err := New(t.Context())
	switch {
	case err != nil && os.Getenv("POSTROAD_TEST_ROOT") == "1":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
}

func newStandard(t *testing.T) *Standard {
	t.Helper()
	mustRun(t)
	begin := time.Now()
	s, err := NewStandard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("standard layout: %v", time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func startPostfix(t *testing.T, h *Site, settings ...string) *Postfix {
	t.Helper()
	begin := time.Now()
	p, err := h.Postfix(t.Context(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Postfix on %s: %v", h.Name, time.Since(begin).Round(time.Millisecond))
	return p
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestPing(t *testing.T) {
	s := newStandard(t)
	for _, from := range s.Sites() {
		for _, to := range s.Sites() {
			for _, addr := range []string{to.IPv4.String(), to.IPv6.String()} {
				must[string](t)(from.Run(t.Context(), "ping", "-n", "-c", "1", "-W", "2", addr))
			}
		}
	}
}

func TestIsolation(t *testing.T) {
	s := newStandard(t)
	if got := strings.TrimSpace(must[string](t)(s.Alpha.Run(t.Context(), "hostname", "-f"))); got != s.Alpha.Name {
		t.Errorf("host name: %q, want %q", got, s.Alpha.Name)
	}
	for _, path := range []string{"/etc/lab-test", "/run/lab-test", "/var/lib/postroad/lab-test", "/root/lab-test"} {
		if err := s.Alpha.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := must[[]byte](t)(s.Alpha.ReadFile(path)); string(got) != "mine" {
			t.Errorf("%s on alpha: %q", path, got)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is seen on the machine: %v", path, err)
		}
		if _, err := s.Bravo.ReadFile(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is seen on bravo: %v", path, err)
		}
	}
	if got := must[string](t)(s.Alpha.Run(t.Context(), "ls", "/sys/class/net")); got != "eth0\nlo\n" {
		t.Errorf("interfaces of alpha: %q", got)
	}
	if err := s.Alpha.Sysctl("net.ipv4.conf.eth0.rp_filter", "1"); err != nil {
		t.Error(err)
	}
	if got := must[[]byte](t)(s.Alpha.Command(t.Context(), "cat", "/proc/sys/net/ipv4/conf/eth0/rp_filter").Output()); string(got) != "1\n" {
		t.Errorf("rp_filter: %q", got)
	}
}

func TestMailInClear(t *testing.T) {
	s := newStandard(t)
	alpha, bravo := startPostfix(t, s.Alpha), startPostfix(t, s.Bravo)
	for _, test := range []struct{ setting, name, received string }{
		{PreferIPv4, "over IPv4", "from mx1.alpha.example (mx1.alpha.example [192.0.2.10])"},
		{PreferIPv6, "over IPv6", "from mx1.alpha.example (mx1.alpha.example [IPv6:2001:db8:a::10])"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := alpha.Set(t.Context(), test.setting); err != nil {
				t.Fatal(err)
			}
			watch := must[*Watch](t)(s.WatchClear(t.Context()))
			begin := time.Now()
			must[string](t)(alpha.Send(t.Context(), "alice@alpha.example", "bob@bravo.example", test.name, "Hello Bob."))
			mail := must[string](t)(bravo.WaitMail(t.Context(), "bob", "Subject: "+test.name))
			t.Logf("delivered in %v", time.Since(begin).Round(time.Millisecond))
			if !strings.Contains(mail, test.received) {
				t.Errorf("the message lacks %q:\n%s", test.received, mail)
			}
			if n := must[int](t)(watch.Finish(t.Context())); n == 0 {
				t.Error("a message in clear was not seen")
			}
		})
	}
}

func TestQueue(t *testing.T) {
	s := newStandard(t)
	alpha, bravo := startPostfix(t, s.Alpha), startPostfix(t, s.Bravo)
	if err := s.Bravo.Link.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := must[string](t)(alpha.Send(t.Context(), "alice@alpha.example", "bob@bravo.example", "later", "Hello Bob."))
	reason := must[string](t)(alpha.WaitDeferred(t.Context(), id))
	t.Logf("reason: %s", reason)
	if !strings.Contains(reason, "connect to bravo.example") {
		t.Errorf("reason: %q", reason)
	}
	if err := errors.Join(s.Bravo.Link.Up(t.Context()), alpha.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	must[string](t)(bravo.WaitMail(t.Context(), "bob", "Subject: later"))
	err := Eventually(t.Context(), 5*time.Second, "an empty queue", func() error {
		queue, err := alpha.Queue(t.Context())
		if err == nil && len(queue) > 0 {
			err = fmt.Errorf("%+v", queue)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPostfixRestart(t *testing.T) {
	s := newStandard(t)
	for name, end := range map[string]func(*Postfix, context.Context) error{"stop": (*Postfix).Stop, "kill": (*Postfix).Kill} {
		p := startPostfix(t, s.Alpha)
		must[string](t)(p.Send(t.Context(), "alice@alpha.example", "alice@alpha.example", name, "Hello me."))
		must[string](t)(p.WaitMail(t.Context(), "alice", "Subject: "+name))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := end(p, ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Alpha.Listening(25); err == nil {
			t.Errorf("%s: the server still listens", name)
		}
	}
	if mails := must[[]string](t)(startPostfix(t, s.Alpha).Mailbox("alice")); len(mails) != 2 {
		t.Errorf("%d messages, want 2", len(mails))
	}
}

func TestWatch(t *testing.T) {
	s := newStandard(t)
	t.Run("silence", func(t *testing.T) {
		watch := must[*Watch](t)(s.WatchClear(t.Context()))
		must[string](t)(s.Alpha.Run(t.Context(), "ping", "-c", "1", s.Bravo.IPv4.String()))
		if n := must[int](t)(watch.Finish(t.Context())); n != 0 {
			t.Errorf("%d clear packets where there were none", n)
		}
	})
	for _, port := range []string{"25", "465", "587"} {
		for _, to := range []string{s.Bravo.IPv4.String(), s.Bravo.IPv6.String()} {
			t.Run(to+" "+port, func(t *testing.T) {
				watch := must[*Watch](t)(s.WatchClear(t.Context()))
				s.Alpha.Run(t.Context(), "nc", "-z", "-w", "1", to, port) // refused: nobody listens
				if n := must[int](t)(watch.Finish(t.Context())); n < 2 {
					t.Errorf("%d clear packets, want a SYN on both wires at least", n)
				}
			})
		}
	}
	t.Run("killed", func(t *testing.T) {
		watch := must[*Watch](t)(s.WatchClear(t.Context()))
		if err := watch.captures[1].Kill(); err != nil {
			t.Fatal(err)
		}
		n, err := watch.Finish(t.Context())
		if err == nil {
			t.Errorf("%d clear packets, where nothing was looking", n)
		}
		t.Log(err)
	})
	t.Run("deaf", func(t *testing.T) {
		watch := must[*Watch](t)(s.WatchClear(t.Context()))
		if err := s.Bravo.Link.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.Bravo.Link.Up(context.WithoutCancel(t.Context()))
		n, err := watch.Finish(t.Context())
		if err == nil {
			t.Errorf("%d clear packets, where the wire was cut", n)
		}
		t.Log(err)
	})
}

func TestSinkAndSealed(t *testing.T) {
	s := newStandard(t)
	capture := must[*Capture](t)(s.Router.Capture(t.Context(), "eth1", "tcp port 25"))
	const size = 1 << 20
	var messages [][]byte
	for _, to := range []string{"198.51.100.20:25", "[2001:db8:b::20]:25"} {
		sink := must[*Sink](t)(s.Bravo.Sink(t.Context(), to))
		if err := s.Alpha.Source(t.Context(), "-m", "5", "-s", "2", "-l", strconv.Itoa(size), to); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, must[[][]byte](t)(sink.Messages())...)
	}
	if len(messages) != 10 {
		t.Errorf("%d messages, want 10", len(messages))
	}
	for _, m := range messages {
		if len(m) < size*98/100 { // smtp-source counts CRLF, smtp-sink writes LF
			t.Errorf("a message has %d bytes, want %d", len(m), size)
		}
	}
	if n := must[int](t)(capture.Count(t.Context(), "ip6")); n == 0 {
		t.Error("nothing went over IPv6")
	}
	if lines := must[[]string](t)(capture.Lines(t.Context(), 3)); len(lines) != 3 {
		t.Errorf("lines: %q", lines)
	}
	if err := capture.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	must[string](t)(s.Alpha.run(t.Context(), "sealed", "nc", "-u", "-w", "1", s.Bravo.IPv6.String(), "51825"))
	packets, bytes, err := s.Sealed(t.Context())
	if err != nil || packets != 1 || bytes != 40+8+6 {
		t.Errorf("%d packets, %d bytes, %v; want the one of 54 bytes", packets, bytes, err)
	}
}

func TestProc(t *testing.T) {
	s := newStandard(t)
	p := must[*Proc](t)(s.Alpha.Start("sh", "-c", "trap 'echo usr1' USR1; echo up; while :; do :; done"))
	wait := func(words string, again func() error) {
		t.Helper()
		err := p.Until(t.Context(), 5*time.Second, words, func() error {
			if !strings.HasPrefix(p.Output(), words) {
				return errors.Join(errors.New(p.Output()), again())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wait("up\n", func() error { return nil })
	wait("up\nusr1\n", func() error { return p.Signal(unix.SIGUSR1) })
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.alive(); err == nil {
		t.Error("it is alive after Kill")
	}
}

func TestNothingHangs(t *testing.T) {
	s := newStandard(t)
	for name, run := range map[string]func(context.Context) error{
		"Run":     func(ctx context.Context) error { return s.Alpha.quiet(ctx, "sleep", "100") },
		"Command": func(ctx context.Context) error { return s.Alpha.Command(ctx, "sh", "-c", "sleep 100; true").Run() },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begin := time.Now()
		if err := run(ctx); err == nil || time.Since(begin) > time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(begin))
		}
		cancel()
	}
}

func TestClose(t *testing.T) {
	s := newStandard(t)
	p := must[*Proc](t)(s.Alpha.Start("sh", "-c", "setsid sleep 1000 & sleep 1000"))
	startPostfix(t, s.Bravo)
	pids := append(s.pids(), p.Pid())
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("closed in %v", time.Since(begin).Round(time.Millisecond))
	if err := gone(pids); err != nil {
		t.Error(err)
	}
	if _, err := s.Alpha.Run(t.Context(), "true"); err == nil {
		t.Error("alpha still runs programs")
	}
}

// TestKilled kills a process that has a lab, which thus cannot clean up, and waits for the lab to be gone nevertheless.
func TestKilled(t *testing.T) {
	mustRun(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "LAB_TEST_KILLED=1")
	cmd.Stderr = os.Stderr
	stdout := must[io.ReadCloser](t)(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := must[string](t)(bufio.NewReader(stdout).ReadString('\n'))
	var pids []int
	for _, f := range strings.Fields(line) {
		pids = append(pids, must[int](t)(strconv.Atoi(f)))
	}
	if err := gone(pids); err == nil || len(pids) < 6 {
		t.Fatalf("the lab of processes %v is gone too early", pids)
	}
	cmd.Process.Kill()
	cmd.Wait()
	begin := time.Now()
	if err := Eventually(t.Context(), 5*time.Second, "the lab to be gone", func() error { return gone(pids) }); err != nil {
		t.Error(err)
	}
	t.Logf("gone after %v", time.Since(begin).Round(time.Millisecond))
}

// beKilled makes a lab, says which processes it has, and waits for its end.
func beKilled() {
	s, err := NewStandard(context.Background())
	if err != nil {
		panic(err)
	}
	p, err := s.Alpha.Start("sh", "-c", "setsid sleep 1000 & sleep 1000")
	if err != nil {
		panic(err)
	}
	cmd := s.Bravo.Command(context.Background(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	pids := append(s.pids(), p.Pid(), cmd.Process.Pid)
	fmt.Println(strings.Trim(fmt.Sprint(pids), "[]"))
	select {}
}

// pids are the hosts' inits.
func (l *Lab) pids() (pids []int) {
	for _, h := range l.hosts {
		pids = append(pids, h.Pid())
	}
	return pids
}

// gone returns an error while one of the processes is there; one that has ended but was not reaped is gone.
func gone(pids []int) error {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !bytes.Contains(stat, []byte(") Z ")) {
			return fmt.Errorf("there is still %s", stat)
		}
	}
	return nil
}

func TestOverride(t *testing.T) {
	const main = "a = 1\ninet_interfaces = all\nab = 2\n"
	for _, test := range []struct {
		settings []string
		want     string
	}{
		{nil, main},
		{[]string{"inet_interfaces = 192.0.2.11, 192.0.2.10"}, "a = 1\nab = 2\ninet_interfaces = 192.0.2.11, 192.0.2.10\n"},
		{[]string{"a=3", "a = 4", "c ="}, "inet_interfaces = all\nab = 2\na = 4\nc =\n"},
	} {
		if got := override(main, test.settings); got != test.want {
			t.Errorf("with %q: %q, want %q", test.settings, got, test.want)
		}
	}
}

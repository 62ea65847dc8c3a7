package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postroad/scripts/lab"
)

// The tests named TestKernel are for the kernel's WireGuard, and so for a
// machine that has it: scripts/kerneltest runs them in a virtual one.

// Mail goes on while daemons are dead, both ways, in the sessions that there
// were; a daemon that comes back finds nothing to do and disturbs nothing.
func TestKernelCarriesMailWithoutDaemon(t *testing.T) {
	needBackend(t, "kernel")
	ctx, r := newRoad(t)
	alpha, bravo := postfix(ctx, t, r.Alpha), postfix(ctx, t, r.Bravo)
	none := watch(ctx, t, r.Standard)
	must(t, r.alpha.Kill())
	must(t, r.bravo.Stop(ctx, unix.SIGTERM))
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%v", v6), func(t *testing.T) {
			deliver(ctx, t, alpha, r.Alpha, "alice", bravo, r.Bravo, "bob", v6, 25)
			deliver(ctx, t, bravo, r.Bravo, "bob", alpha, r.Alpha, "alice", v6, 25)
		})
	}
	_, err := r.alpha.Command(ctx, "status")
	exitStatus(t, err, 1)
	if !strings.Contains(fmt.Sprint(err), "goes on through the kernel's WireGuard") {
		t.Errorf("status without the daemon says %v", err)
	}
	out, err := r.alpha.Command(ctx, "plan")
	must(t, err)
	if out != "nothing to change\n" {
		t.Errorf("a daemon that starts would change:\n%s", out)
	}
	var received, handshake int64 // a session that was begun anew would count from zero, or have shaken hands just now
	before := time.Now()
	fields := run(ctx, t, r.Alpha.Host, "sh", "-c", "wg show postroad0 transfer | cut -f 2; wg show postroad0 latest-handshakes | cut -f 2")
	if _, err := fmt.Sscan(fields, &received, &handshake); err != nil || received == 0 {
		t.Fatalf("reading %q: %v", fields, err)
	}
	must(t, r.alpha.Start(ctx))
	after, err := r.alpha.Peer(ctx, r.Bravo.Name)
	must(t, err)
	if after.Received < received || after.LastHandshake.Unix() != handshake && time.Since(before) < 2*time.Minute {
		t.Errorf("the session was disturbed: %d bytes received and handshake at %d, then %+v", received, handshake, after)
	}
	none()
}

// A running transfer of 100 MB does not notice that the daemons of both sides are
// killed, fail to start, are started, stopped and started again; it arrives
// unaltered.
func TestKernelTransferDoesNotStall(t *testing.T) {
	needBackend(t, "kernel")
	ctx, r := newRoad(t)
	large := []string{"message_size_limit = 0", "smtp_tls_security_level = none", lab.PreferIPv4}
	alpha, bravo := postfix(ctx, t, r.Alpha, large...), postfix(ctx, t, r.Bravo, large...)
	body, begin := largeBody(100<<20), sealedBytes(ctx, t, r)
	none := watch(ctx, t, r.Standard)
	id, err := alpha.Send(ctx, "alice@alpha.example", "bob@bravo.example", "large", body)
	must(t, err)
	through := func(bytes uint64) { // and so it goes on, each time
		t.Helper()
		must(t, more(ctx, r, sealedBytes(ctx, t, r)+bytes, 10*time.Second))
	}
	through(1 << 20) // what measures the path is large, too, and comes before the mail and after it
	c, err := r.Router.Capture(ctx, r.Bravo.Link.RouterInterface,
		fmt.Sprintf("src host %s and udp port %d and greater 1000", r.Alpha.IPv4, lab.TunnelPort))
	must(t, err)
	for _, victim := range []*lab.Postroad{r.alpha, r.bravo} {
		for _, signal := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
			through(5 << 20)
			must(t, victim.Signal(signal))
			_ = victim.Wait(ctx) // how it ends is not the question here
			through(1 << 20)
			failToStart(ctx, t, victim)
			through(1 << 20)
			must(t, victim.Start(ctx))
		}
	}
	if sealedBytes(ctx, t, r) > begin+100<<20 {
		t.Error("the mail was through before all was done")
	}
	must(t, c.Stop(ctx))
	wantUnaltered(ctx, t, alpha, bravo, "bob@bravo.example", id, "large", body)
	none()
	gap, err := c.LargestGap(ctx)
	must(t, err)
	t.Logf("figure: kernel backend, a transfer while both daemons are killed, stopped and started: the largest gap between two packets is %s",
		gap.Round(time.Millisecond))
	if gap > time.Second {
		t.Errorf("the transfer stalled for %s", gap)
	}
}

// failToStart starts a daemon with a broken file.
func failToStart(ctx context.Context, t *testing.T, p *lab.Postroad) {
	t.Helper()
	good, err := p.Site.ReadFile(lab.PeersFile)
	must(t, err)
	must(t, p.Write("[host]\nmtu = 1"))
	_, err = p.Command(ctx, "run")
	exitStatus(t, err, 2)
	must(t, p.Site.WriteFile(lab.PeersFile, good, 0o644))
}

// From one backend to the other and back, as the file says, while SMTP is being
// tried: nothing is in clear.
func TestKernelChangesBackend(t *testing.T) {
	needBackend(t, "kernel")
	ctx, r := newRoad(t)
	none := watch(ctx, t, r.Standard)
	stop := hammer(ctx, t, r.Standard)
	for _, backend := range []string{"userspace", "kernel", "userspace", "auto"} {
		must(t, r.alpha.Write("[host]\nbackend = \""+backend+"\"", r.bravo.Block()))
		_, err := r.alpha.Command(ctx, "reload")
		must(t, err)
		must(t, r.alpha.WaitState(ctx, r.Bravo.Name, "protected"))
	}
	stop()
	none()
}

// A kernel that gets its WireGuard later, say after an upgrade: until then the
// daemon does it itself and says so, and the next start takes the kernel's, which
// gets on with the other side's that is the daemon's own.
func TestKernelModuleAppears(t *testing.T) {
	needBackend(t, "kernel")
	restore := withoutModule(t, "wireguard")
	ctx, r := newLab(t)
	alpha, err := r.Alpha.Postroad(ctx, binary)
	must(t, err)
	bravo, err := r.Bravo.Postroad(ctx, binary)
	must(t, err)
	for _, p := range []*lab.Postroad{alpha, bravo} {
		must(t, p.Write("[host]\nbackend = \"auto\"", map[bool]string{true: bravo.Block(), false: alpha.Block()}[p == alpha]))
		must(t, p.Start(ctx))
		if n := strings.Count(p.Output(), "the kernel has no WireGuard"); n != 1 {
			t.Errorf("says %d times why it falls back:\n%s", n, p.Output())
		}
	}
	must(t, alpha.WaitState(ctx, r.Bravo.Name, "protected"))
	wantBackend(ctx, t, alpha, "userspace")
	none := watch(ctx, t, r)
	stop := hammer(ctx, t, r)
	restore()
	must(t, alpha.Stop(ctx, unix.SIGTERM))
	must(t, alpha.Start(ctx))
	must(t, alpha.WaitState(ctx, r.Bravo.Name, "protected"))
	wantBackend(ctx, t, alpha, "kernel")
	stop()
	must(t, r.Alpha.Source(ctx, "-s", "20", "-m", "40", r.Bravo.IPv4.String()+":25")) // to a sink of the hammer's
	must(t, r.Bravo.Source(ctx, "-s", "20", "-m", "40", r.Alpha.IPv4.String()+":25"))
	none()
}

func wantBackend(ctx context.Context, t *testing.T, p *lab.Postroad, want string) {
	t.Helper()
	s, err := p.Status(ctx)
	if err != nil || s.Backend != want {
		t.Errorf("backend %q, want %q (%v)", s.Backend, want, err)
	}
}

// withoutModule unloads a kernel module and hides its file until the function it
// returns is called, or the test ends.
func withoutModule(t *testing.T, name string) (restore func()) {
	t.Helper()
	files, err := filepath.Glob("/lib/modules/*/kernel/drivers/net/" + name + "/" + name + ".ko")
	if err != nil || len(files) != 1 {
		t.Fatalf("looking for module %s: %v, %v", name, files, err)
	}
	machine(t, "mv", files[0], files[0]+".hidden")
	restored := false
	restore = func() {
		if !restored {
			machine(t, "mv", files[0]+".hidden", files[0])
		}
		restored = true
	}
	t.Cleanup(restore)
	machine(t, "modprobe", "-r", name)
	return restore
}

// machine runs a program on the machine itself, which is a virtual one.
func machine(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", words, err, out)
	}
}

// A link of ours is known whatever it is called, and none is left over; one that
// only bears the name is left alone.
func TestKernelLinksAreKnownByTheirGroup(t *testing.T) {
	needBackend(t, "kernel")
	ctx, l, alpha := newHalfRoad(t)
	must(t, alpha.Start(ctx))
	must(t, alpha.Kill())
	rename := damages(l.Bravo)["the link's name"]
	run(ctx, t, l.Alpha.Host, rename...)
	must(t, alpha.Start(ctx))
	links := func() string { return run(ctx, t, l.Alpha.Host, "ip", "-br", "link", "show", "type", "wireguard") }
	if got := links(); strings.Contains(got, "\n") || !strings.HasPrefix(got, "postroad0") {
		t.Errorf("links after a start:\n%s", got)
	}
	must(t, alpha.Kill())
	run(ctx, t, l.Alpha.Host, rename...)
	_, err := alpha.Command(ctx, "down")
	must(t, err)
	if got := links(); got != "" {
		t.Errorf("links after down:\n%s", got)
	}
	run(ctx, t, l.Alpha.Host, "ip", "link", "add", "postroad0", "type", "wireguard")
	p, err := l.Alpha.Start("postroad", "run")
	must(t, err)
	must(t, eventuallySays(ctx, p, "is not ours"))
	_, err = alpha.Command(ctx, "down")
	must(t, err)
	if got := links(); !strings.HasPrefix(got, "postroad0") {
		t.Errorf("the foreign link is gone: %q", got)
	}
}

// What a daemon with ten peers weighs.
func TestKernelMemory(t *testing.T) {
	needBackend(t, "kernel")
	ctx, l, alpha := newHalfRoad(t)
	var blocks []string
	for i := range 10 {
		key := run(ctx, t, l.Alpha.Host, "sh", "-c", "postroad genkey | postroad pubkey")
		blocks = append(blocks, fmt.Sprintf("[[peer]]\nname = \"mx%d.example\"\npublic_key = %q\naddresses = [\"203.0.113.%d\", \"2001:db8:9::%d\"]\n", i, key, 100+i, i))
	}
	must(t, alpha.Write(append([]string{"[host]"}, blocks...)...))
	must(t, alpha.Start(ctx))
	_, err := alpha.Command(ctx, "status", "--json") // has used what a running one uses
	exitStatus(t, err, 1)
	kb, err := alpha.Resident()
	must(t, err)
	t.Logf("figure: kernel backend, 10 peers: %.1f MB resident", float64(kb)/1024)
	if kb > 25<<10 {
		t.Errorf("%d KB resident", kb)
	}
}

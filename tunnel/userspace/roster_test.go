package userspace

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/device"
)

// newRosterFor returns a roster for a device that is down, with room for so many.
func newRosterFor(t testing.TB, room int) *roster {
	b := newBind(nil)
	b.roster = newRoster(b, room)
	down := newPipe()
	<-down.events
	d := device.NewDevice(down, b, device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(d.Close)
	b.roster.dev = d
	return b.roster
}

// parts sorts what a device says of itself, and of each peer.
func parts(t testing.TB, text string, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(text, "public_key=")
	for i, part := range all {
		lines := strings.Split(part, "\n")
		slices.Sort(lines[1:]) // the first is the key
		all[i] = strings.Join(lines, "\n")
	}
	slices.Sort(all)
	return strings.Join(all, "public_key=")
}

func (r *roster) parts(t testing.TB) string {
	text, err := r.get()
	return parts(t, string(text), err)
}

// sound fails the test unless the device has those peers that the roster says it
// has, as configured, and all others are found by their addresses.
func (r *roster) sound(t testing.TB) {
	t.Helper()
	text, err := r.dev.IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	head, _, _ := strings.Cut(text, "public_key=")
	want.WriteString(head)
	away, visits, resident := 0, 0, 0
	for _, l := range r.listed {
		if l.resident {
			resident++
		}
		if l.loaded {
			want.Write(l.appendTo(nil, l.endpoint, traffic{}))
			if !l.resident {
				visits++
			}
			continue
		}
		if l.stays() {
			t.Fatalf("a peer that stays is not there")
		}
		for _, p := range l.allowed {
			if r.away.at(p.Addr()) != l {
				t.Fatalf("%s is not found", p)
			}
			away++
		}
	}
	if got := parts(t, text, nil); got != parts(t, want.String(), nil) {
		t.Fatalf("the device has\n%s, and the roster says\n%s", got, want.String())
	}
	if len(r.away.by) != away || int(r.away.n.Load()) != away || r.visits != visits || r.resident != resident || resident > r.room {
		t.Fatalf("%d addresses away, %d known; %d visits, %d known; %d residents, %d known", away, len(r.away.by), visits, r.visits, resident, r.resident)
	}
}

// aRequest makes one up, about few keys and addresses.
func aRequest(r *rand.Rand) string {
	var b strings.Builder
	if r.IntN(40) == 0 {
		b.WriteString("replace_peers=true\n")
	}
	for range 1 + r.IntN(3) {
		fmt.Fprintf(&b, "public_key=%064x\n", 1+r.IntN(5))
		switch r.IntN(8) {
		case 0:
			b.WriteString("remove=true\n")
		case 1:
			b.WriteString("update_only=true\n")
		}
		for range r.IntN(5) {
			switch r.IntN(9) {
			case 0:
				fmt.Fprintf(&b, "preshared_key=%064x\n", r.IntN(3))
			case 1:
				fmt.Fprintf(&b, "endpoint=192.0.2.1:%d\n", 1+r.IntN(3))
			case 2:
				b.WriteString("endpoint=[2001:db8::1]:1\n")
			case 3:
				fmt.Fprintf(&b, "persistent_keepalive_interval=%d\n", max(0, r.IntN(6)-4))
			case 4:
				b.WriteString("replace_allowed_ips=true\n")
			case 5:
				fmt.Fprintf(&b, "allowed_ip=-198.51.100.%d/32\n", r.IntN(6))
			case 6:
				fmt.Fprintf(&b, "allowed_ip=2001:db8::%d/%d\n", r.IntN(3), 128-r.IntN(8)/7)
			default:
				fmt.Fprintf(&b, "allowed_ip=198.51.100.%d/32\n", r.IntN(6))
			}
		}
	}
	return b.String()
}

// Whatever is asked of it, and whoever comes and goes meanwhile, a roster says what
// upstream's device does that has all peers.
func TestRosterSaysWhatTheDeviceWould(t *testing.T) {
	for _, room := range []int{0, 2, residents} {
		r := rand.New(rand.NewPCG(3, uint64(room)))
		ours, theirs := newRosterFor(t, room), newRosterFor(t, 0).dev
		for range 2000 {
			request := aRequest(r)
			if err := ours.setText(strings.Split(strings.TrimSpace(request), "\n")); err != nil {
				t.Fatalf("%v to\n%s", err, request)
			}
			if err := theirs.IpcSet(request); err != nil {
				t.Fatal(err)
			}
			text, err := theirs.IpcGet()
			if got, want := ours.parts(t), parts(t, text, err); got != want {
				t.Fatalf("room for %d: after\n%s\nit says\n%s\nand the device\n%s", room, request, got, want)
			}
			ours.sound(t)
			ours.bring(netip.AddrFrom4([4]byte{198, 51, 100, byte(r.IntN(6))}))
			ours.sound(t)
			if r.IntN(4) == 0 {
				ours.sweep(time.Now())
				ours.sweep(time.Now().Add(sessionOver))
				ours.sound(t)
			}
		}
	}
}

// A host is no peer of its own, whichever it is told first.
func TestRosterHasNotItself(t *testing.T) {
	key := newKey(t)
	private, peer := fmt.Sprintf("private_key=%x", key.Bytes()), fmt.Sprintf("public_key=%x", public(key))
	for _, lines := range [][]string{{peer, "allowed_ip=192.0.2.1/32"}, {private}, {peer, "allowed_ip=192.0.2.1/32"}} {
		r := newRosterFor(t, 0)
		if lines[0] == peer {
			if err := r.setText(lines); err != nil {
				t.Fatal(err)
			}
			lines = []string{private}
		}
		if err := r.setText(append(lines, peer, "allowed_ip=192.0.2.1/32")); err != nil {
			t.Fatal(err)
		}
		if len(r.listed) != 0 {
			t.Error("it is listed")
		}
		r.sound(t)
	}
}

// FuzzRequest: whatever is asked, a roster refuses what the device refuses, and else
// both say the same.
func FuzzRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		f.Add(aRequest(r))
	}
	f.Add("fwmark=7\nprivate_key=" + strings.Repeat("7", 64) + "\npublic_key=" + strings.Repeat("a", 64) + "\nprotocol_version=1\n")
	ours, theirs := newRosterFor(f, 1), newRosterFor(f, 0).dev
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 || strings.ContainsAny(text, "\r%") || strings.Contains(text, "listen_port") {
			return // what upstream's reader of lines does with these is its own affair, and a port may be taken
		}
		lines, err := readRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		late := ""
		for _, line := range lines { // upstream does what was asked before it is told to do nothing
			key, _, _ := strings.Cut(line, "=")
			if key == "remove" && late != "public_key" || key == "update_only" && late != "public_key" {
				return
			}
			if late = key; key == "private_key" && slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "replace_peers") }) {
				return // which comes first is no matter to us
			}
		}
		anew := []string{"private_key=" + strings.Repeat("0", 64), "fwmark=0", "replace_peers=true"}
		if err := errors.Join(ours.setText(anew), theirs.IpcSet(strings.Join(anew, "\n"))); err != nil {
			t.Fatal(err)
		}
		ourErr, theirErr := ours.setText(lines), theirs.IpcSet(strings.Join(lines, "\n"))
		if (ourErr == nil) != (theirErr == nil) {
			t.Fatalf("%v, and the device: %v", ourErr, theirErr)
		}
		ours.sound(t)
		if ourErr != nil {
			return
		}
		said, err := theirs.IpcGet()
		if got, want := ours.parts(t), parts(t, said, err); got != want {
			t.Fatalf("it says\n%s\nand the device\n%s", got, want)
		}
	})
}

// Through the socket, answers end with an errno, and one request may follow another.
func TestRosterAnswersRequests(t *testing.T) {
	r := newRosterFor(t, 0)
	here, there := net.Pipe()
	go r.handle(there)
	defer here.Close()
	answers := bufio.NewReader(here)
	for _, c := range []struct{ request, answer string }{
		{"get=1\n\n", "errno=0\n\n"},
		{"set=1\nfwmark=3\n\n", "errno=0\n\n"},
		{"get=1\n\n", "fwmark=3\nerrno=0\n\n"},
		{"set=1\nfwmark=x\n\n", "errno=-22\n\n"},
		{"set=1\nnothing\n\n", "errno=-71\n\n"},
		{"set=1\npublic_key=00\n\n", "errno=-22\n\n"},
		{"set=1\npublic_key=" + strings.Repeat("a", 64) + "\n\n", "errno=0\n\n"},
		{"set=1\npublic_key=" + strings.Repeat("b", 64) + "\nendpoint=nowhere\n\n", "errno=-22\n\n"},
	} {
		_ = here.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := here.Write([]byte(c.request)); err != nil {
			t.Fatal(err)
		}
		got := ""
		for !strings.HasSuffix(got, "\n\n") {
			line, err := answers.ReadString('\n')
			if err != nil {
				t.Fatalf("%q is answered with %q: %v", c.request, got, err)
			}
			got += line
		}
		if got != c.answer {
			t.Errorf("%q is answered with %q, want %q", c.request, got, c.answer)
		}
	}
	if len(r.listed) != 1 {
		t.Errorf("%d peers", len(r.listed))
	}
}

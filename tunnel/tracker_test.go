package tunnel

import (
	"log/slog"
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"postroad/peers"
)

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A trial is a tracker whose log is read, from a time on.
type trial struct {
	rig
	tracker tracker
	now     time.Time
}

func newTrial() *trial {
	tr := &trial{rig: rig{log: &safeBuffer{}}, now: time.Unix(1e9, 0)}
	tr.tracker.log = slog.New(slog.NewTextHandler(tr.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return tr
}

// see is a look some time later, at one peer.
func (tr *trial) see(after time.Duration, s PeerStatus) {
	tr.now = tr.now.Add(after)
	s.Name, s.PublicKey = "b.example", peers.PublicKey{1}
	if s.State == Protected {
		s.LastHandshake = tr.now
	}
	tr.tracker.update([]PeerStatus{s}, tr.now)
}

func TestStatesAreTold(t *testing.T) {
	tr := newTrial()
	for _, s := range []PeerState{Waiting, Protected, Protected, Idle, Protected, Waiting, Clear} {
		tr.see(time.Second, PeerStatus{State: s, Reason: "why"})
	}
	want := []string{
		`level=INFO msg="peer waiting" peer=b.example state=waiting reason=why`,
		`level=INFO msg="peer protected" peer=b.example state=protected reason=why was=waiting`,
		`level=DEBUG msg="peer idle" peer=b.example state=idle reason=why was=protected`,
		`level=DEBUG msg="peer protected" peer=b.example state=protected reason=why was=idle`,
		`level=WARN msg="peer waiting" peer=b.example state=waiting reason=why was=protected`,
		`level=ERROR msg="peer clear" peer=b.example state=clear reason=why was=waiting`,
	}
	var got []string
	for _, state := range []string{"waiting", "protected", "idle", "clear"} {
		got = append(got, tr.about("peer "+state)...)
	}
	wantLines(t, got, want[0], want[4], want[1], want[3], want[2], want[5])
}

// Another reason is told once a minute at most, and the last one in the end.
func TestReasonsAreTold(t *testing.T) {
	tr := newTrial()
	tr.see(0, PeerStatus{State: Blocked, Reason: "one"})
	for range 6 {
		tr.see(5*time.Second, PeerStatus{State: Blocked, Reason: "two"})
		tr.see(4*time.Second, PeerStatus{State: Blocked, Reason: "one"})
	}
	tr.see(30*time.Second, PeerStatus{State: Blocked, Reason: "three"})
	tr.see(30*time.Second, PeerStatus{State: Blocked, Reason: "three"})
	tr.see(90*time.Second, PeerStatus{State: Blocked, Reason: "three"})
	wantLines(t, tr.about("peer blocked"),
		`level=WARN msg="peer blocked" peer=b.example state=blocked reason=one`,
		`level=WARN msg="peer blocked" peer=b.example state=blocked reason=three`)
}

func refusals(in, out uint64) PeerStatus {
	return PeerStatus{State: Protected, RefusedIn: in, RefusedOut: out}
}

// The first refused packets are told at once, the rest once a minute, per
// direction; what is left when it ends, too.
func TestRefusedPacketsAreTold(t *testing.T) {
	tr := newTrial()
	const told = `level=WARN msg="clear packets refused" peer=b.example direction=`
	tr.see(0, refusals(0, 0))
	tr.see(5*time.Second, refusals(3, 0))
	wantLines(t, tr.about("clear packets refused"), told+"in count=3")
	for i := range uint64(10) { // to 50 s after
		tr.see(5*time.Second, refusals(4+i, 2*(i+1)))
	}
	if wait := tr.tracker.due(tr.now); wait != 10*time.Second {
		t.Errorf("the minute after the first line is over in %s", wait)
	}
	tr.see(10*time.Second, refusals(13, 20))
	wantLines(t, tr.about("clear packets refused"), told+"in count=3", told+"out count=2", told+"in count=10")
	tr.tracker.end(tr.now)
	wantLines(t, tr.about("clear packets refused"), told+"in count=3", told+"out count=2", told+"in count=10", told+"out count=18")
	if wait := tr.tracker.due(tr.now); wait < interval {
		t.Errorf("due in %s with nothing left to tell", wait)
	}
}

// A new guard counts from zero.
func TestRefusedPacketsOfNewGuard(t *testing.T) {
	tr := newTrial()
	tr.see(0, refusals(0, 0))
	tr.see(time.Second, refusals(100, 0))
	tr.see(2*time.Minute, refusals(4, 0))
	got := tr.about("clear packets refused")
	if len(got) != 2 || got[1] != `level=WARN msg="clear packets refused" peer=b.example direction=in count=4` {
		t.Errorf("%q", got)
	}
}

// What the guard had counted before is told apart, and does not delay the next.
func TestRefusedPacketsBeforeStart(t *testing.T) {
	tr := newTrial()
	tr.see(0, refusals(7, 0))
	tr.see(time.Second, refusals(8, 0))
	wantLines(t, tr.about("clear packets were refused before this start"),
		`level=INFO msg="clear packets were refused before this start" peer=b.example direction=in count=7`)
	wantLines(t, tr.about("clear packets refused"), `level=WARN msg="clear packets refused" peer=b.example direction=in count=1`)
}

// Of a peer that is removed what is left is told.
func TestRefusedPacketsOfRemovedPeer(t *testing.T) {
	tr := newTrial()
	tr.see(0, refusals(0, 0))
	tr.see(time.Second, refusals(1, 0))
	tr.see(time.Second, refusals(3, 0))
	tr.tracker.update(nil, tr.now)
	if got := tr.about("clear packets refused"); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// The loop looks in time to tell the rest of a burst, though nothing wakes it.
func TestRefusedBurstIsToldWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		count := func(n uint64) {
			r.fake.damage(func(s *State) { s.Guard.Refused = map[netip.Addr]Refused{pool[0]: {Out: n}} })
			settle()
		}
		count(1)
		count(5)
		const told = `level=WARN msg="clear packets refused" peer=bravo direction=out count=`
		wantLines(t, r.about("clear packets refused"), told+"1")
		time.Sleep(refusedGap)
		synctest.Wait()
		wantLines(t, r.about("clear packets refused"), told+"1", told+"4")
		count(7)
		r.stop()
		synctest.Wait()
		wantLines(t, r.about("clear packets refused"), told+"1", told+"4", told+"2")
	})
}

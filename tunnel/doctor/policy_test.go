package doctor

import (
	"strings"
	"testing"

	"postroad/peers"
	"postroad/tunnel"
)

// A peer in clear by policy is a warning, with what keeps it from answering; that
// its mail is in clear is nobody's fault, and not said again by others.
func TestClearByPolicyIsAWarning(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy peers.Policy
		bypass bool
		damage func(*Evidence, *Peer)
		wants  []string // checks, the likeliest first
	}{
		{"nobody listens there", peers.Prefer, true, func(_ *Evidence, p *Peer) {
			p.Seen.Refusals = []Refusal{{By: bravoAddr, Reason: NobodyListens}}
		}, []string{"policy", "their-daemon"}},
		{"mail flows both ways", peers.Latch, true, func(_ *Evidence, p *Peer) {
			p.Seen.ClearOut, p.Seen.ClearIn, p.State.RefusedIn = 40, 40, 9
		}, []string{"policy", "unknown-there"}},
		{"it has just answered", peers.Latch, true, func(_ *Evidence, p *Peer) { p.Answered = true }, []string{"policy"}},
		{"and the guard is broken", peers.Prefer, false, func(_ *Evidence, p *Peer) { p.Seen.ClearOut = 40 },
			[]string{"clear-out", "guard"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := healthy()
			p := &e.Peers[0]
			e.Config.Peers[0].Policy, p.Policy = test.policy, test.policy
			e.Facts.Bypass = map[peers.PublicKey]bool{bravoKey: test.bypass}
			e.Want = tunnel.Want(e.Config, e.Facts)
			e.Have.Guard.Peers, e.Have.Routes = nil, nil
			unheard(p)
			p.Proofs = []Proof{{Addr: bravoAddr, Kind: NotTried, Error: "not tried: it would be in clear"}}
			test.damage(e, p)
			all := Examine(e)
			var checks []string
			for _, f := range all {
				checks = append(checks, f.Check)
				if test.bypass && f.Severity == Problem {
					t.Errorf("a problem: %+v", f)
				}
			}
			if got := strings.Join(checks, " "); !strings.HasPrefix(got, strings.Join(test.wants, " ")) || test.bypass && len(checks) != len(test.wants) {
				t.Errorf("finds %q, want %q", checks, test.wants)
			}
			if Well(all) {
				t.Error("all is well")
			}
		})
	}
}

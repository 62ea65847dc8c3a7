package tunnel

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postroad/peers"
)

// counters returns what the loop counted.
func (r *rig) counters(t *testing.T) Counters {
	t.Helper()
	report, err := r.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report.Counters
}

func sum(m map[StepKind]uint64) (n uint64) {
	for _, c := range m {
		n += c
	}
	return n
}

// What was asked for is a change, what somebody else took away a repair.
func TestLoopTellsRepairsFromChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		first := r.counters(t)
		if sum(first.Changes) == 0 || sum(first.Repairs) != 0 || first.Passes == 0 || first.LastPass.IsZero() {
			t.Fatalf("after the start: %+v", first)
		}
		for _, test := range []struct {
			kind   StepKind
			damage func(*State)
		}{
			{GuardStep, func(s *State) { s.Guard = Guard{} }},
			{RuleStep, func(s *State) { s.Rules = nil }},
			{RouteStep, func(s *State) { s.Routes = s.Routes[1:] }},
			{LinkStep, func(s *State) { s.Link, s.Device, s.Routes = Link{}, Device{}, s.Routes[:1] }},
			{PeerStep, func(s *State) { s.Device.Peers = nil }},
			{DeviceStep, func(s *State) { s.Device.ListenPort++ }},
		} {
			before := r.counters(t)
			r.fake.damage(test.damage)
			settle()
			after := r.counters(t)
			if after.Repairs[test.kind] == before.Repairs[test.kind] {
				t.Errorf("%s: no repair is counted: %+v", test.kind, after)
			}
			if a, b := sum(after.Changes)-after.Changes[GreetingStep], sum(before.Changes)-before.Changes[GreetingStep]; a != b {
				t.Errorf("%s: a repair is counted as a change: %+v", test.kind, after)
			}
		}
		before := r.counters(t)
		r.file.Peers = append(r.file.Peers, peers.Peer{Name: "charlie", PublicKey: peers.PublicKey{2}, Addresses: pool[1:2]})
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle()
		after := r.counters(t)
		if sum(after.Repairs) != sum(before.Repairs) || after.Changes[PeerStep] != before.Changes[PeerStep]+1 {
			t.Errorf("after a reload: %+v, before: %+v", after, before)
		}
		r.fake.damage(func(s *State) { s.Rules = nil })
		settle()
		if last := r.counters(t); last.Repairs[RuleStep] <= after.Repairs[RuleStep] {
			t.Errorf("after the reload repairs are not counted: %+v", last)
		}
	})
}

// A start that takes several tries repairs nothing: nothing was in place yet.
func TestLoopCountsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig) { r.fake.failAt = 3 })
		time.Sleep(minBackoff)
		settle()
		r.wantInPlace(t)
		c := r.counters(t)
		if c.FailedPasses != 1 || c.Passes < 2 || sum(c.Repairs) != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestReportOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		r.fake.mu.Lock()
		r.fake.observed = errors.New("no netlink")
		r.fake.mu.Unlock()
		r.Poke()
		settle()
		report, err := r.Report(t.Context())
		if err == nil || !report.Problems[PassProblem] || report.Problems[MetricsProblem] || report.Counters.FailedPasses == 0 {
			t.Errorf("%+v, %v", report, err)
		}
		if len(report.Status.Peers) != 0 || !report.Status.File.InForce {
			t.Errorf("tells what it has not seen: %+v", report.Status)
		}
	})
}

// Who asks waits no longer than he wants to.
func TestReportGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		release := make(chan struct{})
		r.fake.hang(release)
		defer close(release)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 2 { // the loop is free, and is not
			if report, err := r.Report(ctx); !errors.Is(err, context.DeadlineExceeded) || report.Problems != nil {
				t.Errorf("%+v, %v", report, err)
			}
		}
	})
}

// An address for metrics that cannot be had is told, stops nothing, and is tried
// again.
func TestLoopExposes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := netip.MustParseAddrPort("127.0.0.1:9525")
		var mu sync.Mutex // what follows is the loop's, too
		var at netip.AddrPort
		free := false
		r := start(t, func(r *rig) {
			r.prepare = func(l *Loop) {
				l.Expose = func(a netip.AddrPort) error {
					mu.Lock()
					defer mu.Unlock()
					if at = a; a == taken && !free {
						return errors.New("taken")
					}
					return nil
				}
			}
		})
		settle()
		if s, err := r.Status(t.Context()); err != nil || s.Problem != "" || at.IsValid() {
			t.Errorf("nothing was asked for: %q, %v, %v", s.Problem, err, at)
		}
		r.file.Host.Metrics = taken
		if err := r.Reload(t.Context()); err == nil || IsFileError(err) || !strings.Contains(err.Error(), "taken") {
			t.Errorf("reload: %v", err)
		}
		time.Sleep(3 * interval)
		synctest.Wait()
		r.wantInPlace(t)
		report, err := r.Report(t.Context())
		if err != nil || !report.Problems[MetricsProblem] || report.Problems[PassProblem] || report.Status.Problem != "taken" {
			t.Errorf("%+v, %v", report, err)
		}
		if n := strings.Count(r.log.String(), "metrics cannot be read"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		mu.Lock()
		free = true
		mu.Unlock()
		time.Sleep(interval + time.Second)
		synctest.Wait()
		if s, err := r.Status(t.Context()); err != nil || s.Problem != "" {
			t.Errorf("free again: %q, %v", s.Problem, err)
		}
	})
}

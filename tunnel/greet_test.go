package tunnel

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postroad/peers"
)

// manyRig starts a loop with n peers, whose endpoints are literal: nothing waits
// for DNS.
func manyRig(t *testing.T, n int) *rig {
	return start(t, func(r *rig) {
		r.first = manyPeers(n)
		r.fake.facts = manyFacts(r.first)
	})
}

func (f *fake) greeted() (keys []peers.PublicKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.done {
		if g, ok := s.(GreetPeer); ok {
			keys = append(keys, g.Peer.PublicKey)
		}
	}
	return keys
}

// A start is ready before it has spoken to all of many peers, and speaks to each
// once.
func TestLoopIsReadyBeforeAllAreGreeted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10 * greetedAtOnce
		r := manyRig(t, n)
		if got := len(r.fake.greeted()); r.ready.Load() != 1 || got != greetedAtOnce {
			t.Fatalf("ready %d times, and %d peers greeted, want 1 and %d", r.ready.Load(), got, greetedAtOnce)
		}
		time.Sleep(20 * greetGap)
		synctest.Wait()
		all := r.fake.greeted()
		slices.SortFunc(all, func(a, b peers.PublicKey) int { return slices.Compare(a[:], b[:]) })
		if len(all) != n || len(slices.Compact(all)) != n {
			t.Errorf("%d greetings, of %d peers, want %d of each", len(all), len(slices.Compact(all)), n)
		}
	})
}

// What waits to be greeted is greeted as the file says by then, or not at all.
func TestLoopGreetsByTheFileInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := manyRig(t, 2*greetedAtOnce)
		last := r.wished.Device.Peers[2*greetedAtOnce-1]
		r.file = manyPeers(2 * greetedAtOnce)
		r.file.Peers = slices.DeleteFunc(r.file.Peers, func(p peers.Peer) bool { return p.PublicKey == last.PublicKey })
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * greetGap)
		synctest.Wait()
		if all := r.fake.greeted(); len(all) != 2*greetedAtOnce-1 || slices.Contains(all, last.PublicKey) {
			t.Errorf("%d greeted, want all %d but the one that is gone", len(all), 2*greetedAtOnce-1)
		}
	})
}

// While many wait to be greeted, the loop does what is asked of it.
func TestLoopAnswersWhileItGreets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := manyRig(t, 10*greetedAtOnce)
		if s, err := r.Status(t.Context()); err != nil || len(s.Peers) != 10*greetedAtOnce {
			t.Errorf("status knows %d peers (%v)", len(s.Peers), err)
		}
		if n := len(r.fake.greeted()); n >= 10*greetedAtOnce {
			t.Errorf("all %d were greeted before", n)
		}
	})
}

// Of very many peers that do not answer, some are called at a time, and each has
// its turn.
func TestUnheardTakeTurns(t *testing.T) {
	const n = 2000 // more than callsPerSecond*callInterval
	now := time.Now()
	tr := tracker{log: slog.New(slog.DiscardHandler)}
	tr.update(Judge(manyPeers(n), State{}, State{}, now), now)
	for _, m := range tr.peers {
		m.state = Waiting
	}
	called := map[peers.PublicKey]int{}
	calls := 0
	for now = now.Add(callInterval); len(called) < n; now = now.Add(5 * time.Second) {
		for key := range tr.unheard(nil, now) {
			called[key]++
			calls++
		}
		if calls > 2*n {
			t.Fatalf("%d calls, and only %d of %d peers called", calls, len(called), n)
		}
	}
	for key, times := range called {
		if times > 1 {
			t.Errorf("%s was called %d times before all were", key, times)
		}
	}
}

// Few peers are called as often as they always were.
func TestCallsOfFewAreNotBounded(t *testing.T) {
	var c calls
	now := time.Now()
	for range 100 {
		if got := c.take(callsPerSecond*int(callInterval.Seconds()), now); got != callsPerSecond*int(callInterval.Seconds()) {
			t.Fatalf("only %d calls", got)
		}
		now = now.Add(callInterval)
	}
}

func TestEmbeddedManyIsToldOnce(t *testing.T) {
	var log safeBuffer
	var told []int
	l := New(Loop{Log: slog.New(slog.NewTextHandler(&log, nil)), Embedded: func(n int) { told = append(told, n) }}, manyPeers(1))
	for _, n := range []int{embeddedMany, embeddedMany, embeddedMany + 1, 2 * embeddedMany, 1, embeddedMany + 1} {
		l.embedded(peers.Userspace, n)
	}
	l.embedded(peers.Kernel, 10*embeddedMany)
	if got := strings.Count(log.String(), "many peers for WireGuard within this process"); got != 2 {
		t.Errorf("told %d times, want at each crossing:\n%s", got, log.String())
	}
	if want := []int{embeddedMany, embeddedMany + 1, 2 * embeddedMany, 1, embeddedMany + 1, 0}; !slices.Equal(told, want) {
		t.Errorf("Embedded was told %v, want %v", told, want)
	}
}

// Of very many new peers only those that something is amiss with have a line, and
// later changes have theirs.
func TestManyNewPeersAreToldInOneLine(t *testing.T) {
	var log safeBuffer
	now := time.Now()
	tr := tracker{log: slog.New(slog.NewTextHandler(&log, nil))}
	all := Judge(manyPeers(manyAtOnce+1), State{}, State{}, now)
	for i := range all {
		all[i].State, all[i].Reason = Waiting, "it has never answered"
	}
	all[0].State = Clear
	look := func() []PeerStatus { return slices.Clone(all) }
	tr.update(look(), now)
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "peer clear") || !strings.Contains(got, "peers=501") {
		t.Errorf("the log says\n%s", got)
	}
	all[1].State = Protected
	tr.update(look(), now)
	if got := log.String(); strings.Count(got, "\n") != 3 || !strings.Contains(got, "peer protected") {
		t.Errorf("then the log says\n%s", got)
	}
}

// Batches keep the order of a plan, put nothing together that has an order, and
// leave nothing out.
func TestBatches(t *testing.T) {
	c := manyPeers(1500)
	plan := Diff(State{}, Want(c, manyFacts(c)), time.Now())
	var all Plan
	sizes := map[string]int{}
	for steps := range batches(plan) {
		all = append(all, steps...)
		sizes[string(Kind(steps[0]))] = max(len(steps), sizes[string(Kind(steps[0]))])
		for _, s := range steps {
			if closes(s) != closes(steps[0]) || Kind(s) != Kind(steps[0]) {
				t.Fatalf("%s goes together with %s", s, steps[0])
			}
		}
	}
	if all.String() != plan.String() {
		t.Error("the plan is another")
	}
	want := map[string]int{"guard": 1, "link": 1, "device": 1, "peer": batchSize, "route": batchSize, "rule": 1, "greeting": batchSize}
	for kind, most := range want {
		if sizes[kind] != most {
			t.Errorf("%d steps of kind %s went together, want %d", sizes[kind], kind, most)
		}
	}
}

// A failer fails all steps of a kind.
type failer struct {
	*fake
	kind StepKind
}

func (f failer) Do(ctx context.Context, steps []Step) []error {
	if Kind(steps[0]) != f.kind {
		return f.fake.Do(ctx, steps)
	}
	errs := make([]error, len(steps))
	for i := range errs {
		errs[i] = errInjected
	}
	return errs
}

// After peers that could not be set, what closes is done all the same, and the
// error names a few.
func TestFailedBatchStillCloses(t *testing.T) {
	c := manyPeers(20)
	f := &fake{facts: manyFacts(c)}
	want := Want(c, f.facts)
	err := do(t.Context(), failer{f, PeerStep}, Diff(State{}, want, time.Now()), func(Step) {})
	if !errors.Is(err, errInjected) || strings.Count(err.Error(), "\n") != toldErrors || !strings.Contains(err.Error(), "15 more steps failed") {
		t.Errorf("the error is %v", err)
	}
	for _, p := range c.Peers {
		if s := f.look(); !Closed(s, p.Addresses[0], want.Guard.Ports) {
			t.Errorf("%s is open", p.Name)
		}
	}
}

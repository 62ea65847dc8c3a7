package tunnel

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"postroad/peers"
)

// work is the loop proper: a pass when poked, after a failure with growing
// patience, and every interval anyway; calls are served in between.
func (l *Loop) work(ctx context.Context) error {
	due := time.NewTimer(0)
	defer due.Stop()
	listen := time.NewTimer(listenInterval)
	defer listen.Stop()
	var alive <-chan time.Time
	if l.AliveEvery > 0 {
		ticker := time.NewTicker(l.AliveEvery)
		defer ticker.Stop()
		alive = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			l.tracker.end(time.Now())
			return nil
		case <-alive:
			l.alive()
		case f := <-l.calls:
			passes := l.counters.Passes
			f(ctx)
			if l.down {
				return errDown
			}
			if l.counters.Passes != passes {
				due.Reset(l.wait(time.Now()))
			}
		case <-l.greetings.due:
			l.greetNext(ctx)
		case <-listen.C:
			if now := time.Now(); l.pace.rested(now) && l.listen(ctx, now) {
				due.Reset(0)
			}
			listen.Reset(listenInterval)
		case <-l.pokes:
			due.Reset(l.pace.poked(time.Now()))
		case <-l.events:
			due.Reset(l.pace.poked(time.Now()))
		case <-due.C:
			_, _ = l.pass(ctx)
			due.Reset(l.wait(time.Now()))
		}
	}
}

// wait returns how long to wait for the next pass after one.
func (l *Loop) wait(now time.Time) time.Duration {
	p := &l.pace
	return min(p.passed(now, l.steps, l.problem, l.patience()), p.seldom(l.mtus.due(now)), l.tracker.due(now), l.drift.due(now),
		l.policies.due(l.config, now), l.domainLog.due(now))
}

// pass observes, compares and applies, once, and says how many steps that took.
func (l *Loop) pass(ctx context.Context) (steps int, err error) {
	defer l.hurry()()
	l.resolve()
	l.remember()
	l.expose()
	start := time.Now()
	steps, err = l.apply(ctx)
	l.counters.passed(start, err)
	l.steps, l.pace.took = steps, time.Since(start)
	if ctx.Err() != nil {
		return steps, nil
	}
	switch {
	case err == nil && l.problem != nil:
		l.Log.Info("all in place again")
	case err != nil && (l.problem == nil || l.problem.Error() != err.Error()):
		l.Log.Error("keeping what stands, and trying again", "error", err)
	}
	l.problem = err
	l.tell()
	if err == nil && !l.passed && l.asked {
		l.passed = true
		if l.Ready != nil {
			l.Ready(len(l.policies.open(l.config)))
		}
	}
	return steps, err
}

func (l *Loop) apply(ctx context.Context) (steps int, err error) {
	l.heard()
	have, facts, err := l.observe(ctx)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	l.policies.look(l.config, have, now) // here alone: reports judge by what was decided
	l.remember()
	want := l.want(have, facts)
	shut := shutOut(l.callers, have.Device.Peers, now)
	forget(want.Device, have.Device, shut, now)
	l.wished = want
	plan, later := putOff(Diff(have, want, now))
	why := causes(l.settled, have.Device, want, now)
	done, doErr := l.carryOut(ctx, plan, why)
	l.greetings.add(later)
	if doErr == nil {
		l.repointed(want)
		l.settle(want)
	}
	if len(plan) > 0 {
		heard := l.heard() // most is what the steps themselves have done
		have, want, err = l.look(ctx)
		if heard && err == nil && len(Diff(have, want, now)) > 0 {
			l.Poke()
		}
	}
	if err == nil {
		now := time.Now()
		l.tracker.update(l.judge(have, want, now), now)
		l.logRemarks(now)
		l.domainLog.update(l.judgeDomains(), now)
		l.up, l.seen = have.Link.Up, have.Device.Peers
		l.embedded(have.Link.Backend, len(have.Device.Peers))
		err = l.callUnheard(ctx, have.Link.Up, want, shut, now)
	}
	l.logSteps(done, why) // last: by now the watcher has heard who it was
	return len(done), errors.Join(doErr, err)
}

// carryOut does the steps of a plan and returns those that were done.
func (l *Loop) carryOut(ctx context.Context, plan Plan, why func(Step) cause) (done []Step, err error) {
	err = do(ctx, l.System, plan, func(s Step) {
		done = append(done, s)
		l.counters.stepped(s, why(s) == repair)
		l.Log.Debug("applied", "step", s.String())
		l.alive()
	})
	return done, err
}

// logSteps logs what a pass did: what was wished, and what repaired others' changes.
func (l *Loop) logSteps(done []Step, why func(Step) cause) {
	by := map[cause][]Step{}
	for _, s := range done {
		by[why(s)] = append(by[why(s)], s)
	}
	if n := len(by[wanted]); n > 0 {
		l.Log.Info("changes applied", "steps", n)
	}
	if n := countAnew(done); n > 0 {
		l.Log.Warn("this host's clock was ahead: peers that are not let in by it are made anew", "peers", n)
	}
	now := time.Now()
	l.drift.add(by[repair])
	for _, s := range by[repair] {
		l.drift.blame(l.culprits.take(Kind(s) == GuardStep, now))
	}
	l.drift.tell(l.Log, now)
}

// callUnheard speaks again to the peers that do not answer, and to those that are
// shut out: whichever side is mended, they meet without mail having to come first,
// and a look at the wire shows what each of them says.
func (l *Loop) callUnheard(ctx context.Context, up bool, want State, shut map[peers.PublicKey]bool, now time.Time) error {
	if !up {
		return nil
	}
	due := l.tracker.unheard(shut, now)
	l.hurryNames(due, now)
	var greet []Step
	for _, p := range want.Device.Peers {
		if due[p.PublicKey] && p.Endpoint.IsValid() {
			greet = append(greet, GreetPeer{want.Link.Name, p})
		}
	}
	return l.greet(ctx, greet)
}

func (l *Loop) alive() {
	if l.Alive != nil {
		l.Alive()
	}
}

// tell passes on how mail is protected.
func (l *Loop) tell() {
	s := l.status(l.tracker.judged)
	words := s.Summary()
	if l.tracker.judged == nil { // there was no look at the system that succeeded
		words = "Starting; problem: " + strings.ReplaceAll(s.Problem, "\n", "; ")
	}
	if l.Tell != nil && words != l.told {
		l.told = words
		l.Tell(words)
	}
}

// repointed forgets the peers whose new endpoint is set; where its name is not
// resolved yet there was nothing to set.
func (l *Loop) repointed(want State) {
	for _, p := range want.Device.Peers {
		if p.Endpoint.IsValid() {
			delete(l.repoint, p.PublicKey)
		}
	}
}

// hurryFrom is how many make a pass work that is worth to be told of.
const hurryFrom = 1000

func (l *Loop) hurry() (done func()) {
	if l.Hurry == nil || len(l.config.Peers) < hurryFrom {
		return func() {}
	}
	return l.Hurry()
}

// accept puts a config in force.
func (l *Loop) accept(c *peers.Config) {
	changed := changedEndpoints(l.config, c)
	maps.Copy(changed, l.repoint) // asked for earlier, and not done yet
	l.repoint = changed
	l.policies.accept(l.config, c)
	l.config, l.kept = c, nil
	l.file = FileStatus{InForce: true, Loaded: time.Now()}
	l.names.want(c)
	l.domains.want(c.Peers)
	l.resolve()
}

// reject remembers why the file on disk is not in force.
func (l *Loop) reject(err error) {
	l.file.InForce, l.file.Errors = false, nil
	for _, e := range Flatten(err) {
		l.Log.Error("peers file not in force", "error", e)
		l.file.Errors = append(l.file.Errors, e.Error())
	}
}

// Flatten returns the errors that err joins, or err alone.
func Flatten(err error) []error {
	if f := (fileError{}); errors.As(err, &f) {
		err = f.error
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

func changedEndpoints(old, c *peers.Config) map[peers.PublicKey]bool {
	changed := map[peers.PublicKey]bool{}
	if old == nil {
		return changed
	}
	was := map[peers.PublicKey]peers.Endpoint{}
	for _, p := range old.Peers {
		was[p.PublicKey] = p.Endpoint
	}
	for _, p := range c.Peers {
		if e, ok := was[p.PublicKey]; ok && e != p.Endpoint {
			changed[p.PublicKey] = true
		}
	}
	return changed
}

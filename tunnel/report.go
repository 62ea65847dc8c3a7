package tunnel

import (
	"context"
	"errors"
	"slices"
	"time"
)

// What can be a problem, beside the state of a peer and the peers file.
const (
	PassProblem    = "pass"    // the last pass failed
	MemoryProblem  = "memory"  // what is protected, or who has answered, could not be remembered for the next start, or read
	MetricsProblem = "metrics" // the address for metrics could not be opened
)

// A Report is a Status and what the loop has done to bring it about.
type Report struct {
	Status   Status
	Counters Counters
	Problems map[string]bool // all that there can be
}

// Report looks at the system and says how everything stands. With an error the
// system could not be looked at, and the Status knows no peers; or, where there
// are no Problems either, the loop has not answered before ctx ended.
func (l *Loop) Report(ctx context.Context) (Report, error) {
	type answer struct {
		Report
		ports []uint16
		err   error
	}
	answers := make(chan answer, 1)
	ask := func(ctx context.Context) {
		r, err := l.report(ctx)
		answers <- answer{r, l.config.Host.Ports, err}
	}
	select {
	case l.calls <- ask:
	case <-ctx.Done():
		return Report{}, ctx.Err()
	case <-l.stopped:
		return Report{}, errStopped
	}
	select {
	case a := <-answers:
		if a.err == nil {
			a.Status.connections(l.System.Connections(ctx, a.ports))
		}
		return a.Report, a.err
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
}

// Status is the Report's.
func (l *Loop) Status(ctx context.Context) (Status, error) {
	r, err := l.Report(ctx)
	return r.Status, err
}

func (l *Loop) report(ctx context.Context) (Report, error) {
	r := Report{Status: l.status(nil), Counters: l.counters.clone(), Problems: map[string]bool{
		PassProblem:    l.problem != nil,
		MemoryProblem:  errors.Join(l.forgets, l.policies.problem(), l.names.failure()) != nil,
		MetricsProblem: l.unexposed != nil}}
	have, want, err := l.look(ctx)
	if err != nil {
		return r, err
	}
	now := time.Now()
	r.Status.Peers = l.judge(have, want, now)
	r.Status.Backend = have.Link.Backend
	l.tracker.update(r.Status.Peers, now)
	r.Status.Peers = slices.Clone(r.Status.Peers) // from here on it is the caller's
	return r, nil
}

// status is what there is to say but for what only a look at the link can tell.
func (l *Loop) status(judged []PeerStatus) Status {
	h := l.config.Host
	s := Status{Host: h.Name, PublicKey: h.PrivateKey.Public(), Link: h.Link, ListenPort: h.ListenPort, File: l.file, Peers: judged, Domains: l.judgeDomains()}
	if err := errors.Join(l.problem, l.forgets, l.policies.problem(), l.names.failure(), l.unexposed); err != nil {
		s.Problem = err.Error()
	}
	return s
}

// expose opens the address for metrics that the config asks for, or closes it.
// That this fails is no reason for a pass to fail, and one to say that not all is
// well. It is tried again at every pass.
func (l *Loop) expose() {
	if l.Expose == nil {
		return
	}
	was := l.unexposed
	l.unexposed = l.Expose(l.config.Host.Metrics)
	if l.unexposed != nil && (was == nil || was.Error() != l.unexposed.Error()) {
		l.Log.Error("metrics cannot be read; mail is not touched by that", "error", l.unexposed)
	}
}

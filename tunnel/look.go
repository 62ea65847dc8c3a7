package tunnel

import (
	"context"
	"fmt"
	"slices"
	"time"

	"postroad/peers"
)

// look observes the system and says what it should be.
func (l *Loop) look(ctx context.Context) (have, want State, err error) {
	have, facts, err := l.observe(ctx)
	if err != nil {
		return have, want, err
	}
	return have, l.want(have, facts), nil
}

func (l *Loop) observe(ctx context.Context) (State, Facts, error) {
	q := Query{Link: l.config.Host.Link, Remotes: Remotes(l.resolved, l.endpoints)}
	have, facts, err := l.System.Observe(ctx, q)
	l.clock.look(time.Now().Round(0), time.Since(l.began))
	for i, p := range have.Device.Peers {
		have.Device.Peers[i].LastHandshake = l.clock.correct(p.LastHandshake)
	}
	if err == nil && l.ownIs(facts.Local) {
		l.attribute()
	}
	facts.Endpoints, facts.Repoint, facts.Held = l.endpoints, l.repoint, l.held
	if err == nil {
		l.mtus.see(l.resolved, have, facts, time.Now())
		facts.MTUs = l.mtus.known(l.resolved, have)
	}
	return have, facts, err
}

func (l *Loop) want(have State, f Facts) State {
	f.Bypass = l.policies.open(l.config)
	want := Want(l.resolved, f)
	rescue(want.Device, have.Device, f.Local)
	return want
}

// judge says how each peer stands, and what there is to say of its names.
func (l *Loop) judge(have, want State, now time.Time) []PeerStatus {
	all := Judge(l.resolved, have, want, now)
	l.mtus.fill(all)
	open := l.policies.open(l.config)
	for i, p := range l.config.Peers {
		if open[p.PublicKey] && len(all[i].Addresses) == 0 { // there is nothing of it in want that could tell
			all[i].State, all[i].Reason, all[i].ByPolicy = Clear, fmt.Sprintf("policy %s: its address is not known", p.Policy), true
		}
		all[i].DNS = slices.Clone(l.remarks[p.Name])
		all[i].Latched = p.Policy == peers.Latch && l.policies.held[p.PublicKey]
	}
	return all
}

// remember keeps what is protected, whenever that changes. That it fails is no
// reason for a pass to fail, and one to say that not all is well.
func (l *Loop) remember() {
	s := l.resolved.Selectors(l.policies.open(l.config))
	s.Addresses = append(s.Addresses, l.held...)
	if l.Remember == nil || l.kept != nil && l.kept.Equal(s) {
		return
	}
	was := l.forgets
	if l.forgets = l.Remember(s); l.forgets == nil {
		l.kept = &s
	}
	if l.forgets != nil && was == nil {
		l.Log.Error("a start that fails will leave new peers' mail in clear", "error", l.forgets)
	}
}

// Package doctor says what keeps mail from being protected, and what to do
// about it. Looking is others' work: its checks are pure functions of what was
// found.
package doctor

import (
	"cmp"
	"fmt"
	"slices"
)

// A Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Problem Severity = "problem" // mail waits, or can flow in clear
	Warning Severity = "warning" // it may come to that, or something is not as it should be
	Note    Severity = "note"    // worth knowing
)

// A Finding is one thing that a check found. Its JSON is stable.
type Finding struct {
	Check    string   `json:"check"`          // name of the check
	Severity Severity `json:"severity"`       //
	Peer     string   `json:"peer,omitempty"` // empty: the host's own
	What     string   `json:"what"`           // what is wrong, and how that is known
	Do       string   `json:"do,omitempty"`   // what to do about it

	eased  bool // a Problem by itself, but for the policy
	weight int  // how surely it is the cause, from 0 to 100; others that it explains come after it
}

// A Check is one thing to look at.
type Check struct {
	Name  string
	About string // what it looks at, in a sentence
	look  func(*Evidence) []Finding
}

// Checks returns all checks. Their order is that of equally likely findings.
func Checks() []Check {
	return slices.Concat(hostChecks, neighbourChecks, handshakeChecks, proofChecks, dnsChecks)
}

// Examine returns what the checks find, the likeliest cause first.
func Examine(e *Evidence) []Finding {
	all := []Finding{}
	for _, c := range Checks() {
		for _, f := range c.look(e) {
			f.Check = c.Name
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(b.weight, a.weight))
	})
	return withoutSymptoms(all)
}

// A symptom is a finding of this weight: it is worth telling only where nothing
// explains it.
const symptom = 5

func withoutSymptoms(all []Finding) []Finding {
	explained := map[string]bool{}
	for _, f := range all {
		explained[f.Peer] = explained[f.Peer] || (f.Severity == Problem || f.eased) && f.weight > symptom
	}
	return slices.DeleteFunc(all, func(f Finding) bool { return f.weight <= symptom && (explained[f.Peer] || explained[""]) })
}

// Well says whether nothing is wrong: notes are no complaint.
func Well(all []Finding) bool {
	return !slices.ContainsFunc(all, func(f Finding) bool { return f.Severity != Note })
}

func rank(s Severity) int { return slices.Index([]Severity{Problem, Warning, Note}, s) }

// found makes a list of one finding.
func found(s Severity, weight int, what, do string) []Finding {
	return []Finding{{Severity: s, What: what, Do: do, weight: weight}}
}

// eachPeer makes a check of all peers out of one of a peer. Where the policy lets
// mail flow in clear meanwhile nothing is worse than a warning.
func eachPeer(look func(*Evidence, *Peer) []Finding) func(*Evidence) []Finding {
	return func(e *Evidence) (all []Finding) {
		for i := range e.Peers {
			p := &e.Peers[i]
			for _, f := range look(e, p) {
				f.Peer = p.Name
				if f.Severity == Problem && e.byPolicy(p.Peer) {
					f.Severity, f.eased = Warning, true
				}
				all = append(all, f)
			}
		}
		return all
	}
}

// unanswered is eachPeer for peers to whom there is no tunnel although ours is
// ready: its link is there, it has a port, and it knows where to call.
func unanswered(look func(*Evidence, *Peer) []Finding) func(*Evidence) []Finding {
	return eachPeer(func(e *Evidence, p *Peer) []Finding {
		if p.Answered || e.Have.Link.Name == "" || !p.Endpoint.IsValid() {
			return nil
		}
		return look(e, p)
	})
}

// lines makes findings of the errors that err joins.
func lines(err error, weight int, do string) (all []Finding) {
	for _, e := range flatten(err) {
		all = append(all, found(Problem, weight, fmt.Sprint(e), do)...)
	}
	return all
}

func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

package tunnel

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"postroad/peers"
)

// remarkGap is how long there is between two lines about the same kind of thing:
// a server may say something else every time.
const remarkGap = time.Minute

// resolve takes up what DNS has said since. That is for the beginning of a pass:
// what is judged later in it is what was wished.
func (l *Loop) resolve() {
	l.asked, l.answered = l.names.settled(time.Now()), l.names.answered()
	l.answers, l.lookups = l.names.answers()
	l.attribute()
}

// attribute works out whose addresses are which.
func (l *Loop) attribute() {
	l.resolved, l.remarks = peers.Resolve(l.config, l.answers, l.own)
	l.endpoints = l.config.Endpoints(l.answers, l.own)
	for _, p := range l.config.Peers {
		for _, name := range p.LookupNames() {
			for _, r := range l.lookups[name] {
				if !slices.Contains(l.remarks[p.Name], r) {
					l.remarks[p.Name] = append(l.remarks[p.Name], r)
				}
			}
		}
	}
	l.hold()
}

// hold keeps closed what was so at the start, as far as it is nobody's, until DNS
// has answered for all names, and of both families: it may be an address of one
// that is not known.
func (l *Loop) hold() {
	l.held = nil
	if len(l.Closed) == 0 {
		return
	}
	if l.answered {
		l.Closed = nil
		return
	}
	l.held = sortedAddrs(missing(missing(l.Closed, l.resolved.Selectors(nil).Addresses), l.own))
	if len(l.held) > 0 && !l.toldHeld {
		l.toldHeld = true
		l.Log.Warn("closed until DNS answers: addresses that were protected before this start", "addresses", len(l.held))
	}
}

// ownIs notes this host's addresses, and says whether they are others than before.
func (l *Loop) ownIs(local []LocalAddr) bool {
	own := make([]netip.Addr, len(local))
	for i, a := range local {
		own[i] = a.Addr
	}
	if own = sortedAddrs(append(own, l.config.Host.Addresses...)); l.own != nil && slices.Equal(own, l.own) {
		return false
	}
	l.own = own
	l.names.isOwn(own)
	return true
}

// hurryNames has the names of peers looked up that do not answer: they may have
// moved.
func (l *Loop) hurryNames(due map[peers.PublicKey]bool, now time.Time) {
	for _, p := range l.config.Peers {
		if due[p.PublicKey] {
			l.names.hurry(p.LookupNames(), now)
		}
	}
}

// A remarked kind of thing is one that was logged of a peer.
type remarked struct {
	peer string
	kind peers.RemarkKind
}

// A telling is what was logged last, and when.
type telling struct {
	words string
	at    time.Time
}

// logRemarks logs what is new about the names of peers.
func (l *Loop) logRemarks(now time.Time) {
	told := map[remarked]telling{}
	for about, last := range l.toldRemarks {
		if now.Sub(last.at) < remarkGap {
			told[about] = last // what is over may soon be so again
		}
	}
	for _, p := range l.config.Peers {
		if len(l.remarks[p.Name]) == 0 {
			continue
		}
		for _, kind := range peers.NameRemarks {
			words := wordsOf(l.remarks[p.Name], kind)
			about := remarked{p.Name, kind}
			last, known := l.toldRemarks[about]
			switch {
			case words == "":
			case known && (last.words == words || now.Sub(last.at) < remarkGap):
				told[about] = last
			default:
				log := l.Log.Warn
				if kind == peers.AddressLeft {
					log = l.Log.Info
				}
				log("names of a peer", "peer", p.Name, "kind", kind, "remark", words)
				told[about] = telling{words, now}
			}
		}
	}
	l.toldRemarks = told
}

// wordsOf joins the words of all remarks of a kind.
func wordsOf(all []peers.Remark, kind peers.RemarkKind) string {
	var words []string
	for _, r := range all {
		if r.Kind == kind {
			words = append(words, r.Words)
		}
	}
	return strings.Join(words, "; ")
}

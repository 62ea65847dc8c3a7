package tunnel

import (
	"fmt"
	"math/rand/v2"
	"time"

	"postroad/peers"
)

// A lookupState is how the lookups of a name go.
type lookupState struct {
	due      time.Time
	asked    time.Time // when the last one began; zero: none has
	busy     bool
	tried    bool // one has ended
	whole    bool // one has told addresses, and of both families whether there are any
	failures int  // since the last that did not fail
	remarks  []peers.Remark
}

// wait returns how long to wait after a lookup.
func (s *lookupState) wait(f peers.Found) time.Duration {
	if f.NoIPv4 == nil && f.NoIPv6 == nil {
		s.failures = 0
		return max(f.TTL, retryMin) + rand.N(lookupJitter)
	}
	s.failures = min(s.failures+1, 10)
	return min(retryMin<<(s.failures-1), retryMax) + rand.N(lookupJitter)
}

// failing says what keeps DNS from telling the addresses of a name. Nil: nothing.
func failing(name string, f peers.Found, known bool) *peers.Remark {
	kept := ""
	if known {
		kept = "; what it said last stays in force"
	}
	why := ""
	switch {
	case f.NoIPv4 != nil && f.NoIPv6 != nil:
		why = f.NoIPv4.Error()
	case f.NoIPv4 != nil:
		why = "IPv4: " + f.NoIPv4.Error()
	case f.NoIPv6 != nil:
		why = "IPv6: " + f.NoIPv6.Error()
	case len(f.Addrs) == 0:
		return &peers.Remark{Kind: peers.NameFailing, Words: fmt.Sprintf("DNS says that %s has no address%s", name, kept)}
	default:
		return nil
	}
	return &peers.Remark{Kind: peers.NameFailing, Words: fmt.Sprintf("asking DNS for the addresses of %s: %s%s", name, why, kept)}
}

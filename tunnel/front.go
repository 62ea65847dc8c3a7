package tunnel

import "slices"

// An OtherRule is a rule of policy routing that is not ours.
type OtherRule struct {
	IPv6     bool
	Priority int
	Text     string // as `ip rule` has it
}

// landing is the first of the priorities that we take for chance. A rule that is
// added without one, as wg-quick(8) does, the kernel puts right before all others
// but the first (fib_default_rule_pref), and so before ours, where it would take
// SMTP past the tunnel. Of lower ones somebody has thought.
const landing = 2000

// inFront moves our rules, per family, in front of those that landed before them.
// When these are gone, ours go back.
func inFront(rules []Rule, others []OtherRule) []Rule {
	for i := range rules {
		rules[i].Priority -= crowded(rules[i].IPv6, others)
	}
	return sortedRules(rules)
}

// crowded returns how far forward the rules of a family have to move.
func crowded(ipv6 bool, others []OtherRule) int {
	first := PortPriority + 1
	for _, o := range others {
		if o.IPv6 == ipv6 && o.Priority >= landing {
			first = min(first, o.Priority)
		}
	}
	return PortPriority + 1 - first
}

// selects says whether one of the rules is want, wherever it stands.
func selects(rules []Rule, want Rule) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool {
		r.Priority = want.Priority
		return r == want
	})
}

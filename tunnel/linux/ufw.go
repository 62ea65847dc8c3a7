package linux

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"postroad/tunnel/doctor"
)

var (
	ufwEnabled = regexp.MustCompile(`(?mi)^\s*ENABLED\s*=\s*yes`)
	ufwNoIPv6  = regexp.MustCompile(`(?mi)^\s*IPV6\s*=\s*"?no`)

	ufwAcceptsAll = regexp.MustCompile(`(?mi)^\s*DEFAULT_INPUT_POLICY\s*=\s*"?ACCEPT`)
)

// ufw returns the firewall that it is, or the two: it may be set to drop all IPv6.
func ufw(ctx context.Context, w wanted) []doctor.Firewall {
	added := tell(ctx, "ufw", "show", "added")
	f := doctor.Firewall{Name: "ufw", Manages: true, Drops: true, Strict: true, Shut: ufwShut(added, w.port) && !anyFile(ufwAcceptsAll, "/etc/default/ufw"),
		In:   doctor.Opening{Command: ufwAllow(added, fmt.Sprintf("%d/udp", w.port))},
		Out:  doctor.Opening{Command: fmt.Sprintf("ufw allow out proto udp from any port %d", w.port)},
		Link: doctor.Opening{Command: fmt.Sprintf("ufw allow in on %s proto tcp to any port %s", w.link, w.list(","))},
	}
	if !anyFile(ufwNoIPv6, "/etc/default/ufw") {
		return []doctor.Firewall{f}
	}
	six := f
	f.Family, six.Family = 4, 6
	for _, o := range []*doctor.Opening{&six.In, &six.Out, &six.Link} {
		o.Command = "sed -i s/^IPV6=.*/IPV6=yes/ /etc/default/ufw && ufw reload && " + o.Command
	}
	return []doctor.Firewall{f, six}
}

// ufwOpens is a rule that may let UDP in: all but those for other ports, or for
// what goes out or through.
var ufwOpens = regexp.MustCompile(`^ufw allow (in on \S+ )?(proto udp )?(from |to |in on \S+$)`)

// ufwShut says whether none of the rules, as `ufw show added` has them, opens a
// UDP port. It does not look at who is let in by which interface.
func ufwShut(added string, port uint16) bool {
	ours := regexp.MustCompile(fmt.Sprintf(`(^|[ ,:])%d([ ,:/]|$)`, port))
	for line := range strings.Lines(added) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " comment ")
		switch {
		case !strings.HasPrefix(line, "ufw allow "), strings.HasPrefix(line, "ufw allow out "), strings.Contains(line, "/tcp"), strings.Contains(line, "proto tcp"):
		case ours.MatchString(line), ufwOpens.MatchString(line) && !strings.Contains(line, " port "), strings.Contains(line, ":"): // a range, or IPv6
			return false
		}
	}
	return added != ""
}

// ufwForbids is a rule, as `ufw show added` has it, that may come before one that
// is added now.
var ufwForbids = regexp.MustCompile(`(?m)^ufw (deny|reject|limit) (in|[^o]|o[^u])`)

// ufwAllow returns the command that has ufw let in what is wanted, such as
// "51825/udp", whatever rules have been added so far.
func ufwAllow(added, what string) string {
	allow := "ufw allow " + what
	there := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(allow) + `( comment .*)?$`).MatchString(added)
	switch forbids := ufwForbids.MatchString(added); {
	case there && forbids: // behind what forbids it
		return "ufw delete allow " + what + " && ufw prepend allow " + what
	case there: // somebody has flushed ufw's rules
		return "ufw reload"
	case forbids:
		return strings.Replace(allow, "allow", "prepend allow", 1)
	}
	return allow
}

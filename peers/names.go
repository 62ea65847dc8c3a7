package peers

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// isHostName says whether a text is a host name, RFC 1123 section 2.1; the last
// label is no number, lest a misspelt IP address pass for a name.
func isHostName(s string) bool {
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
		last = label
	}
	return len(s) <= 253 && strings.Trim(last, "0123456789") != ""
}

// isLabel says whether a text is one of the parts of a host name between the dots.
func isLabel(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case c != '-' || i == 0 || i == len(s)-1:
			return false
		}
	}
	return s != "" && len(s) <= 63
}

func checkHostName(s string) error {
	if !isHostName(s) {
		return fmt.Errorf(`%s is not a host name: give letters, digits and hyphens, such as "mx1.example.org"`, quote(s))
	}
	return nil
}

// ParseAddress returns a mail address: one that can be routed to a single host.
func ParseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err == nil:
		return a, checkAddress(a)
	case strings.Contains(s, "/"):
		return a, fmt.Errorf(`%s is not one address: give single ones, such as "203.0.113.5"`, quote(s))
	case isHostName(s):
		return a, fmt.Errorf("%s is a name: give the IP addresses that it has", quote(s))
	}
	return a, fmt.Errorf(`%s is not an IP address: give one such as "203.0.113.5" or "2001:db8:b::5"`, quote(s))
}

// checkAddress returns why an address is no host's that others reach.
func checkAddress(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return errors.New("an address is missing")
	case a.Zone() != "":
		return fmt.Errorf("%s has a zone: give an address that is valid beyond one link", quote(a.String()))
	case a.Is4In6():
		return fmt.Errorf(`"%s" is IPv4 in IPv6: give "%s"`, a, a.Unmap())
	}
	if what := special(a); what != "" {
		return fmt.Errorf(`"%s" is %s address: give one that other hosts can reach`, a, what)
	}
	return nil
}

// special names the kind of an address that is no host's in the network.
func special(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "the unspecified"
	case a.IsLoopback():
		return "a loopback"
	case a.IsLinkLocalUnicast():
		return "a link-local"
	case a.IsMulticast():
		return "a multicast"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast"
	case a.Is4() && a.As4()[0] == 0:
		return "a reserved"
	}
	return ""
}

// ParseEndpoint returns the endpoint of a text such as "[2001:db8::5]:51825".
func ParseEndpoint(s string) (Endpoint, error) {
	if strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return Endpoint{}, fmt.Errorf(`%s is not an endpoint: IPv6 addresses go in brackets, such as "[2001:db8:b::5]:51825"`, quote(s))
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Endpoint{}, fmt.Errorf(`%s is not an endpoint: give host and port, such as "mx.partner.example:51825"`, quote(s))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Endpoint{}, fmt.Errorf("%s has no valid port: give 1 to 65535 after the colon", quote(s))
	}
	host, err = endpointHost(host, strings.HasPrefix(s, "["))
	return Endpoint{Host: host, Port: uint16(n)}, err
}

// endpointHost returns the host of an endpoint in the form that Endpoint has.
func endpointHost(host string, brackets bool) (string, error) {
	a, err := netip.ParseAddr(host)
	switch {
	case err == nil && a.Is6() == brackets:
		return a.String(), checkAddress(a)
	case !brackets && isHostName(strings.TrimSuffix(host, ".")):
		return host, nil
	case brackets:
		return "", fmt.Errorf("%s is not an IPv6 address: brackets are for these only", quote(host))
	}
	return "", fmt.Errorf("%s is neither an IP address nor a host name", quote(host))
}

// checkLink refuses what the kernel does as the name of an interface, and what
// it or its tools give another meaning.
func checkLink(s string) error {
	switch {
	case s == "":
		return errors.New(`is empty: give an interface name, such as "postroad0"`)
	case len(s) > 15:
		return fmt.Errorf("%s is too long: interface names have at most 15 bytes", quote(s))
	case s == "all", s == "default", s == "lo":
		return fmt.Errorf(`%s is taken by the system: give another name, such as "postroad0"`, quote(s))
	case s == ".", s == "..", strings.ContainsFunc(s, notInLink):
		return fmt.Errorf(`%s is not an interface name: give printable ASCII without "/", ":", "%%" and white space`, quote(s))
	}
	return nil
}

func notInLink(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/:%", r) }

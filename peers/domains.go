package peers

import (
	"fmt"
	"slices"
	"strings"
)

// domains returns the domains whose mail a host takes, in lower case.
func (t table) domains() (all []string) {
	items, _ := list[string](t, "domains", `"partner.example"`)
	for _, i := range items {
		domain, err := ParseDomain(i.value)
		switch {
		case err != nil:
			t.problemAt(i.at, "domains", "%v", err)
		case slices.Contains(all, domain):
			t.problemAt(i.at, "domains", "%q is given twice", domain)
		default:
			all = append(all, domain)
		}
	}
	return all
}

// ParseDomain returns a mail domain in the form that [Peer.Domains] has.
func ParseDomain(s string) (string, error) {
	if !isHostName(s) { // before the case is changed: some letters become ASCII by that
		return "", fmt.Errorf(`%s is not a mail domain: give what stands after the @ of an address, such as "partner.example"`, quote(s))
	}
	return strings.ToLower(s), nil
}

package linux

import (
	"strings"
	"testing"
)

// Rules of others that come before ours are told as `ip rule` tells them.
func TestOtherRules(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	want := []string{
		"100: from all to 198.51.100.0/24 lookup main",
		"101: from 192.0.2.11 lookup 7",
		"102: from all fwmark 0x80000/0xff0000 lookup main",
		"103: not from all fwmark 0xca6c lookup 51820",
		"104: from all lookup main suppress_prefixlength 0",
		"105: from all iif lo lookup 7",
		"106: from all ipproto tcp dport 25 lookup 7",
	}
	for _, w := range want {
		priority, words, _ := strings.Cut(w, ": ")
		command(t, "ip rule add priority "+priority+" "+words)
	}
	command(t, "ip rule add priority 5210 lookup 7")
	command(t, "ip rule add priority 107 lookup 2525 protocol 125")
	all, err := observeOthers()
	check(t, err)
	var got []string
	for _, r := range all {
		got = append(got, r.Text)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

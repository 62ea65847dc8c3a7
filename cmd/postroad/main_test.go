package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"postroad": func() {
			pretend()
			main()
		},
		"fakedaemon": fakeDaemon,
	})
}

// The scripts in testdata say what users type and what they get; none needs root.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"await": await,
		},
	})
}

// pretend gives the commands the surroundings that a script describes: a line
// of $TEST_DNS is "NAME ADDRESS", "MX DOMAIN HOST" or "FAILS NAME", and
// $TEST_ADDRESSES are the host's own.
func pretend() {
	resolver = testZone(os.Getenv("TEST_DNS"))
	if own, ok := os.LookupEnv("TEST_ADDRESSES"); ok {
		sourceAddresses = func(string) (all []netip.Addr, err error) {
			for s := range strings.FieldsSeq(own) {
				all = append(all, netip.MustParseAddr(s))
			}
			return all, nil
		}
	}
}

// A testZone is what DNS knows.
type testZone string

// find returns the last words of the lines that have the others.
func (z testZone) find(words ...string) (all []string, err error) {
	for line := range strings.Lines(string(z)) {
		f := strings.Fields(line)
		n := len(f) - 1
		switch {
		case n == 1 && f[0] == "FAILS" && f[1] == words[len(words)-1]:
			return nil, &net.DNSError{Err: "server misbehaving", Name: f[1], IsTemporary: true}
		case n == len(words) && slices.Equal(f[:n], words):
			all = append(all, f[n])
		}
	}
	if len(all) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: words[len(words)-1], IsNotFound: true}
	}
	return all, nil
}

func (z testZone) LookupNetIP(_ context.Context, _, host string) (all []netip.Addr, err error) {
	found, err := z.find(strings.TrimSuffix(host, "."))
	for _, s := range found {
		all = append(all, netip.MustParseAddr(s))
	}
	return all, err
}

func (z testZone) LookupMX(_ context.Context, name string) (all []*net.MX, err error) {
	found, err := z.find("MX", strings.TrimSuffix(name, "."))
	for _, s := range found {
		all = append(all, &net.MX{Host: s + "."})
	}
	return all, err
}

// exits is for checking exit statuses: exits N COMMAND...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N command...")
	}
	err := ts.Exec("sh", append([]string{"-c", `n=$1; shift; "$@"; test $? = $n`, "sh"}, args...)...)
	if err != nil {
		ts.Fatalf("another exit status than %s: %v", args[0], args[1:])
	}
}

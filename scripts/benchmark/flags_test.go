package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct {
		args     []string
		rounds   int
		length   time.Duration
		links    []string
		baseline string
	}{
		"as it comes":      {nil, 5, 2 * time.Second, []string{"wire", "veth"}, "upstream"},
		"quick":            {[]string{"--quick"}, 1, 500 * time.Millisecond, []string{"wire", "veth"}, "upstream"},
		"quick and rounds": {[]string{"--quick", "--runs", "3"}, 3, 500 * time.Millisecond, []string{"wire", "veth"}, "upstream"},
		"one link":         {[]string{"--link", "veth", "--baseline", "none"}, 5, 2 * time.Second, []string{"veth"}, "none"},
		"in the VM":        {[]string{"--vm"}, 3, 500 * time.Millisecond, []string{"wire"}, "wireguard"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse(tt.args, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if p.rounds != tt.rounds || p.length != tt.length || !slices.Equal(p.links, tt.links) || p.baseline != tt.baseline {
				t.Errorf("got %d rounds of %v on %v, to %s", p.rounds, p.length, p.links, p.baseline)
			}
			if len(p.workloads) != len(workloads) {
				t.Errorf("%d workloads", len(p.workloads))
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"--only gre":                     `no contender "gre": try none, postroad, upstream,`,
		"--workload mail":                `no workload "mail": try mail4k,`,
		"--link tap":                     `no link "tap"`,
		"--runs -1":                      "a round at least",
		"now":                            `"now" is one word too many`,
		"--fast":                         "unknown flag",
		"--only gre --link tap --runs 1": `no link "tap"`,
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	if _, err := parse([]string{"--postroad", " "}, io.Discard); err == nil || !strings.Contains(err.Error(), "wants a file") {
		t.Errorf("an empty postroad: %v", err)
	}
	if _, err := parse([]string{"--help"}, io.Discard); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}

// Builds of postroad are contenders of their own, with their variables; those that are not there are skipped.
func TestParsePostroads(t *testing.T) {
	p, err := parse([]string{"--postroad", "/bin/true", "--postroad", "GOMAXPROCS=1 /bin/true", "--postroad", "/no/postroad",
		"--only", "postroad:3,postroad,postroad:2"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range p.contenders {
		names = append(names, c.name)
	}
	if want := []string{"postroad", "postroad:2"}; !slices.Equal(names, want) {
		t.Errorf("contenders are %v, want %v", names, want)
	}
	if got := p.contenders[1].version(); !strings.HasPrefix(got, "GOMAXPROCS=1") {
		t.Errorf("the version of the second is %q", got)
	}
	if len(p.skipped) != 1 || p.skipped[0].Name != "postroad:3" || p.skipped[0].Why != "there is no postroad here" {
		t.Errorf("skipped: %v", p.skipped)
	}
	if text := p.announce(); !strings.Contains(text, "skipped: postroad:3: there is no postroad here\n2 contenders, 7 workloads") {
		t.Errorf("it announces %q", text)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range contenders(options{}) {
		if seen[c.name] || c.version == nil || c.lacks == nil || c.up == nil {
			t.Errorf("contender %q is not complete, or not the only one", c.name)
		}
		seen[c.name] = true
	}
	for _, name := range kernels {
		if !seen[name] {
			t.Errorf("%q is no contender", name)
		}
	}
	for _, h := range headlines() {
		if !slices.ContainsFunc(metricsOf(h.workload), func(m metric) bool { return m.name == h.metric }) {
			t.Errorf("%s has no %s", h.workload, h.metric)
		}
	}
}

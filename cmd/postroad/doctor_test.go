package main

import (
	"net/netip"
	"strings"
	"testing"

	"postroad/tunnel/doctor"
)

// What others say must not reach the terminal as commands.
func TestReportIsClean(t *testing.T) {
	hostile := "220 \x1b]0;owned\a\x1b[2Jhello"
	var b strings.Builder
	err := printReport(&b, doctor.Report{
		Findings: []doctor.Finding{{Check: "smtp", Severity: doctor.Problem, Peer: "mx.bravo.example", What: "it says " + hostile}},
		Proofs:   []doctor.Shown{{Peer: "mx.bravo.example", Address: netip.MustParseAddr("198.51.100.20"), Greeting: hostile}},
	})
	if err != nil || strings.ContainsAny(b.String(), "\x1b\a") || strings.Count(b.String(), "hello") != 2 {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestVerdict(t *testing.T) {
	finding := func(all ...doctor.Severity) (r doctor.Report) {
		for _, s := range all {
			r.Findings = append(r.Findings, doctor.Finding{Severity: s})
		}
		r.Well = doctor.Well(r.Findings)
		return r
	}
	for want, r := range map[string]doctor.Report{
		"Nothing is wrong, and nobody to speak with":       finding(doctor.Note),
		"Not all is well: 1 problem, 2 warnings":           finding(doctor.Problem, doctor.Warning, doctor.Warning),
		"Not all is well: 0 problems, 1 warning":           finding(doctor.Warning, doctor.Note),
		"All is well: SMTP with the peers works, and only": {Well: true, Proofs: make([]doctor.Shown, 1)},
	} {
		if got := verdict(r); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

// TestMain lets the test binary be the probe that a stage runs in its hosts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == probeCommand {
		os.Exit(probe(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// newTestStage is a wire-like stage. Where there can be none the test is skipped, or fails if POSTROAD_TEST_ROOT=1 says that
// there must be one.
func newTestStage(t *testing.T) *stage {
	t.Helper()
	_, err := lab.New(t.Context())
	if err = errors.Join(err, need("ethtool", "iperf3")()); err != nil && os.Getenv("POSTROAD_TEST_ROOT") != "1" {
		t.Skip(err)
	}
	s, err := newStage(t.Context(), linkWire)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// short is the length of a measurement of which only its outcome counts.
const short = 20 * time.Millisecond

// A contender that promises to protect mail and does not gets no figure.
func TestRefusesMailInClear(t *testing.T) {
	s := newTestStage(t)
	liar := none()
	liar.bare = false
	up, err := s.raise(t.Context(), liar)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads {
		f, err := up.measure(t.Context(), w, short)
		if err == nil || !strings.Contains(err.Error(), "refused:") || f != nil {
			t.Errorf("%s: got %v, %v", w.name, f, err)
		}
	}
}

// Mail that never was on the wire gets no figure either.
func TestRefusesMailOffTheWire(t *testing.T) {
	s := newTestStage(t)
	up, err := s.raise(t.Context(), none())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Alpha.Host.Start("smtp-sink", "-u", "root", "inet:127.0.0.1:25", "100"); err != nil {
		t.Fatal(err)
	}
	if err := lab.Eventually(t.Context(), 5*time.Second, "smtp-sink", func() error { return s.Alpha.Listening(mailPort) }); err != nil {
		t.Fatal(err)
	}
	up.bare, up.target = false, netip.MustParseAddr("127.0.0.1")
	if _, err := up.measure(t.Context(), workloads[0], short); err == nil || !strings.Contains(err.Error(), "refused:") {
		t.Errorf("got %v", err)
	}
}

// Without protection everything can be measured.
func TestMeasuresUnprotected(t *testing.T) {
	s := newTestStage(t)
	up, err := s.raise(t.Context(), none())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads {
		f, err := up.measure(t.Context(), w, short)
		if err != nil {
			t.Errorf("%s: %v", w.name, err)
		} else if f[w.metrics[0].name] <= 0 {
			t.Errorf("%s is %v", w.name, f)
		}
	}
}

// A contender that does not get up is an error that tells its last words.
func TestRaiseTellsLastWords(t *testing.T) {
	s := newTestStage(t)
	broken := none()
	broken.up = func(context.Context, *stage) ([]*lab.Proc, error) {
		p, err := s.Alpha.Host.Start("sh", "-c", "echo it is broken; exit 1")
		if err == nil {
			<-p.Exited()
			_, err = s.Alpha.Run(t.Context(), "ip", "link", "set", "eth0", "down")
		}
		return []*lab.Proc{p}, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second*lab.Patience())
	defer cancel()
	if _, err := s.raise(ctx, broken); err == nil || !strings.Contains(err.Error(), "it is broken") {
		t.Errorf("got %v", err)
	}
}

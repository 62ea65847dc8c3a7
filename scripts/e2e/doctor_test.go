package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"postroad/scripts/lab"
)

// A report is what `postroad doctor --json` says, as far as tests look at it.
type report struct {
	Well     bool
	Findings []finding
	Proofs   []struct {
		Address, Greeting, Error string
		Encrypted                int  `json:"encrypted_packets"`
		Clear                    int  `json:"clear_packets"`
		Stopped                  bool `json:"stopped_past_tunnel"`
	}
}

type finding struct{ Check, Severity, Peer, What, Do string }

// examine runs the doctor on a host.
func examine(ctx context.Context, p *lab.Postroad, words ...string) (r report, err error) {
	out, runErr := p.Command(ctx, append([]string{"doctor", "--json"}, words...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return r, errors.Join(runErr, err)
	}
	if r.Well != (runErr == nil) {
		return r, errors.New("the exit status says otherwise than the report")
	}
	return r, nil
}

func TestDoctorProvesTheRoad(t *testing.T) {
	ctx, r := newRoad(t)
	for _, site := range []*lab.Site{r.Standard.Alpha, r.Standard.Bravo} {
		_, err := site.Postfix(ctx)
		must(t, err)
	}
	none := watch(ctx, t, r.Standard)
	for _, p := range []*lab.Postroad{r.alpha, r.bravo} {
		rep, err := examine(ctx, p)
		must(t, err)
		if !rep.Well || len(rep.Proofs) != 2 {
			t.Errorf("%s: %+v", p.Site.Name, rep)
		}
		for _, x := range rep.Proofs {
			if !strings.HasPrefix(x.Greeting, "220 ") || x.Error != "" || x.Encrypted < 6 || x.Clear != 0 || !x.Stopped {
				t.Errorf("%s: the proof with %s is none: %+v", p.Site.Name, x.Address, x)
			}
		}
	}
	none()
	if tables := run(ctx, t, r.Standard.Alpha.Host, "nft", "list", "tables"); strings.Contains(tables, "doctor") {
		t.Errorf("the doctor left something behind: %s", tables)
	}
}

// TestUserspaceDoctorNamesTheCause is the table of wrong set-ups: the doctor
// names the true cause first in nine of ten, and says of none that all is well.
func TestUserspaceDoctorNamesTheCause(t *testing.T) {
	if len(ills) < 100 {
		t.Errorf("the table has %d set-ups", len(ills))
	}
	var wrong []string
	tried := 0
	reports := make([]report, len(ills))
	errs := make([]error, len(ills))
	var all errgroup.Group
	all.SetLimit(8) // they wait most of the time
	for n, i := range ills {
		if *only != "" && !strings.Contains(i.name, *only) {
			continue
		}
		tried++
		all.Go(func() error {
			reports[n], errs[n] = diagnose(t.Context(), i)
			return nil
		})
	}
	_ = all.Wait()
	for n, i := range ills {
		switch r := reports[n]; {
		case *only != "" && !strings.Contains(i.name, *only):
		case errs[n] != nil:
			tried--
			t.Errorf("%s: %v", i.name, errs[n])
		case r.Well || len(r.Findings) == 0:
			t.Errorf("%s: the doctor says that all is well", i.name)
		case !i.namedBy(r):
			wrong = append(wrong, i.name)
			t.Logf("%s: want %s (%s), got %+v", i.name, i.cause, i.words, r.Findings)
		}
	}
	t.Logf("figure: the doctor named the true cause first in %d of %d wrong set-ups", tried-len(wrong), tried)
	if len(wrong)*10 > tried {
		t.Errorf("%d of %d causes are not named first: %s", len(wrong), tried, strings.Join(wrong, "; "))
	}
}

var only = flag.String("ill", "", "of the wrong set-ups try those with these words only")

func (i ill) namedBy(r report) bool {
	f := r.Findings[0]
	return f.Severity != "note" && slices.Contains(strings.Split(i.cause, "|"), f.Check) && strings.Contains(f.What+" "+f.Do, i.words)
}

// diagnose makes two hosts, has them fall ill, and asks alpha's doctor.
func diagnose(ctx context.Context, i ill) (r report, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	l, err := lab.NewStandard(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	p := &patient{Standard: l}
	if err := p.prepare(ctx, i); err != nil {
		return r, fmt.Errorf("preparing: %w", err)
	}
	if err := p.fall(ctx, i); err != nil {
		return r, fmt.Errorf("falling ill: %w", err)
	}
	return examine(ctx, p.alpha)
}

// prepare writes the files, as wrong as they are to be, and starts mail servers.
func (p *patient) prepare(ctx context.Context, i ill) (err error) {
	if p.alpha, err = p.Standard.Alpha.Postroad(ctx, binary); err != nil {
		return err
	}
	if p.bravo, err = p.Standard.Bravo.Postroad(ctx, binary); err != nil {
		return err
	}
	file := string(lab.PeersText("[host]\n"+i.host, altered(i.peer, p.bravo.Block())))
	if i.file != "" {
		file = i.file
	}
	err = errors.Join(p.Standard.Alpha.WriteFile(lab.PeersFile, []byte(file), 0o644),
		p.bravo.Write("[host]\n"+i.theirHost, altered(i.theirPeer, p.alpha.Block())),
		sh(ctx, p.Router, i.first.router), sh(ctx, p.Standard.Bravo.Host, i.first.bravo), sh(ctx, p.Standard.Alpha.Host, i.first.alpha))
	if err != nil {
		return err
	}
	if i.mail != "" {
		return sh(ctx, p.Standard.Bravo.Host, "("+i.mail+") >/dev/null 2>&1 </dev/null & sleep 0.3")
	}
	for _, at := range []string{"198.51.100.20:25", "[2001:db8:b::20]:25"} {
		if _, err := p.Standard.Bravo.Sink(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// fall starts the daemons, and lets go wrong what was well.
func (p *patient) fall(ctx context.Context, i ill) error {
	for _, d := range []*lab.Postroad{p.bravo, p.alpha} {
		if d == p.bravo && i.theirOff || d == p.alpha && i.off {
			continue
		}
		if err := d.Start(ctx); err != nil && i.cause != "udp-port" && i.cause != "link" && !strings.Contains(i.name, "bravo's port") {
			return err
		}
	}
	if i.then == nil {
		return nil
	}
	if !i.theirOff && !i.off {
		if err := p.alpha.WaitState(ctx, p.Standard.Bravo.Name, "protected"); err != nil {
			return err
		}
	}
	return i.then(ctx, p)
}

func altered(how func(string) string, block string) string {
	if how == nil {
		return block
	}
	return how(block)
}

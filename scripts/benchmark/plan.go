package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// A plan is what one run measures: every workload with every contender on every kind of link, in turn, round after round.
type plan struct {
	contenders []contender
	skipped    []Skipped
	workloads  []workload
	links      []string
	rounds     int
	length     time.Duration // of one measurement
	baseline   string        // the contender that ratios are to
	json, plot string        // files to write; "": none
	from       string        // a file of --json; "": measure
	tools      string        // the folder of the programs that were built
}

// admit sorts out the contenders that cannot be measured here.
func (p *plan) admit(all []contender) {
	for _, c := range all {
		if why := c.lacks(); why != nil {
			p.skipped = append(p.skipped, Skipped{Name: c.name, Why: strings.ReplaceAll(why.Error(), "\n", ", ")})
		} else {
			p.contenders = append(p.contenders, c)
		}
	}
}

// announce says what is going to be measured, and about how long that takes.
func (p *plan) announce() string {
	var text strings.Builder
	for _, s := range p.skipped {
		fmt.Fprintf(&text, "skipped: %s: %s\n", s.Name, s.Why)
	}
	cells := len(p.links) * len(p.contenders) * p.rounds
	fmt.Fprintf(&text, "%d contenders, %d workloads, %d kinds of link, %d rounds: about %s\n", len(p.contenders), len(p.workloads),
		len(p.links), p.rounds, (time.Duration(cells) * p.cell()).Round(time.Second))
	return text.String()
}

// cell is about how long one contender takes in one round: it is set up, and each workload is found out and measured.
func (p *plan) cell() time.Duration {
	return 1500*time.Millisecond + time.Duration(len(p.workloads))*p.length*3/2
}

// measure goes through the plan. What goes wrong with one contender is in the report, and the others go on.
func (p *plan) measure(ctx context.Context, progress io.Writer) (*Report, error) {
	r := p.empty()
	for _, link := range p.links {
		for round := range p.rounds {
			for _, c := range p.contenders {
				for _, s := range p.turn(ctx, link, c) {
					if err := ctx.Err(); err != nil {
						return nil, err
					}
					s.Round = round + 1
					fmt.Fprintf(progress, "%s %d/%d %s\n", link, s.Round, p.rounds, s)
					r.Samples = append(r.Samples, s)
				}
			}
		}
	}
	return r, nil
}

// turn measures all workloads with one contender, on two fresh hosts.
func (p *plan) turn(ctx context.Context, link string, c contender) (samples []Sample) {
	fail := func(workload string, err error) {
		samples = append(samples, Sample{Link: link, Contender: c.name, Workload: workload, Error: err.Error()})
	}
	s, err := newStage(ctx, link)
	if err != nil {
		fail("", err)
		return samples
	}
	defer func() {
		if err := s.Close(); err != nil {
			fail("", err)
		}
	}()
	t, err := s.raise(ctx, c)
	if err != nil {
		fail("", fmt.Errorf("setting it up: %w", err))
		return samples
	}
	samples = append(samples, Sample{Link: link, Contender: c.name, Workload: idle, Figures: t.idle()})
	for _, w := range p.workloads {
		figures, err := t.measure(ctx, w, p.length)
		if err != nil {
			fail(w.name, err)
			continue
		}
		samples = append(samples, Sample{Link: link, Contender: c.name, Workload: w.name, Figures: figures})
	}
	return samples
}

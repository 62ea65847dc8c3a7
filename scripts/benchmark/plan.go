package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
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
	json       string        // a file's name; "": none
}

// options are the command's flags as they were given.
type options struct {
	quick             bool
	runs              int
	only, workload    []string
	link              string
	binaries          []string // of postroad
	baseline          string
	json, plot, tools string
}

// parse makes a plan of the command's flags.
func parse(args []string, stderr io.Writer) (*plan, error) {
	var o options
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.SortFlags = false
	flags.BoolVar(&o.quick, "quick", false, "one short round: whether it works, not how fast")
	flags.IntVar(&o.runs, "runs", 5, "rounds")
	flags.StringSliceVar(&o.only, "only", nil, "contenders, by name (default: all)")
	flags.StringSliceVar(&o.workload, "workload", nil, "workloads, by name (default: all)")
	flags.StringVar(&o.link, "link", "both", "wire (each packet crosses singly), veth (as it comes) or both")
	flags.StringArrayVar(&o.binaries, "postroad", nil, "a postroad `[VARIABLE=VALUE...] FILE`; again: one more, called postroad:2")
	flags.StringVar(&o.baseline, "baseline", "upstream", "the `CONTENDER` that ratios are to")
	flags.StringVar(&o.json, "json", "", "write all samples to a `FILE`")
	flags.StringVar(&o.tools, "tools", "", "the `FOLDER` where scripts/bench built programs")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is one word too many", flags.Arg(0))
	}
	return o.plan(flags.Changed("runs"))
}

func (o options) plan(runsGiven bool) (*plan, error) {
	p := &plan{rounds: o.runs, length: 2 * time.Second, baseline: o.baseline, json: o.json}
	if o.quick {
		p.length = 500 * time.Millisecond
		if !runsGiven {
			p.rounds = 1
		}
	}
	var err error
	p.workloads, err = choose(workloads, o.workload, "workload", func(w workload) string { return w.name })
	all, e := choose(contenders(o), o.only, "contender", func(c contender) string { return c.name })
	err = errors.Join(err, e)
	switch o.link {
	case "both":
		p.links = []string{linkWire, linkVeth}
	case linkWire, linkVeth:
		p.links = []string{o.link}
	default:
		err = errors.Join(err, fmt.Errorf("there is no link %q: try wire, veth or both", o.link))
	}
	if o.runs < 1 {
		err = errors.Join(err, errors.New("there must be a round at least: --runs 1"))
	}
	for _, c := range all {
		if why := c.lacks(); why != nil {
			p.skipped = append(p.skipped, Skipped{Name: c.name, Why: why.Error()})
		} else {
			p.contenders = append(p.contenders, c)
		}
	}
	return p, err
}

// choose returns those of all that have the names wanted, in the order of all; none wanted: all.
func choose[T any](all []T, want []string, what string, name func(T) string) ([]T, error) {
	if len(want) == 0 {
		return all, nil
	}
	var chosen []T
	var known []string
	for _, t := range all {
		known = append(known, name(t))
		if slices.Contains(want, name(t)) {
			chosen = append(chosen, t)
		}
	}
	for _, w := range want {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("there is no %s %q: try %s", what, w, strings.Join(known, ", "))
		}
	}
	return chosen, nil
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
	r := p.report()
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

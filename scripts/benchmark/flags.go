package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// options are the command's flags as they were given; the zero value of each is its default. scripts/bench says what they
// mean.
type options struct {
	quick          bool
	vm             bool // this is a virtual machine for what the kernel carries, whose clock counts instructions
	runs           int
	only, workload []string
	link           string
	postroad       []string
	baseline       string
	json, plot     string
	from           string // a file of --json: it is measured no more, but printed and drawn
	tools          string // the folder where scripts/bench built programs
}

// kernels are the contenders of a virtual machine.
var kernels = []string{"none", "postroad", "upstream", "postroad-kernel", "wireguard", "wireguard-stateful", "esp"}

// parse makes a plan of the command's flags.
func parse(args []string, stderr io.Writer) (*plan, error) {
	var o options
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.SortFlags = false
	flags.BoolVar(&o.quick, "quick", false, "one short round")
	flags.IntVar(&o.runs, "runs", 0, "rounds")
	flags.StringSliceVar(&o.only, "only", nil, "contenders")
	flags.StringSliceVar(&o.workload, "workload", nil, "workloads")
	flags.StringVar(&o.link, "link", "", "wire, veth or both")
	flags.StringArrayVar(&o.postroad, "postroad", nil, "a postroad, after variables for it; again: one more")
	flags.StringVar(&o.baseline, "baseline", "", "the contender that ratios are to")
	flags.StringVar(&o.json, "json", "", "where to write all samples")
	flags.StringVar(&o.plot, "plot", "", "where to draw a chart")
	flags.StringVar(&o.from, "from", "", "a file of --json to print and draw again")
	flags.BoolVar(&o.vm, "vm", false, "what the kernel carries, in a virtual machine")
	flags.StringVar(&o.tools, "tools", "", "where programs were built")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q is one word too many", flags.Arg(0))
	}
	return o.plan()
}

func (o options) plan() (*plan, error) {
	if slices.ContainsFunc(o.postroad, func(command string) bool { return strings.TrimSpace(command) == "" }) {
		return nil, errors.New("--postroad wants a file")
	}
	o.defaults()
	p := &plan{rounds: o.runs, length: 2 * time.Second, baseline: o.baseline, json: o.json, plot: o.plot, from: o.from, tools: o.tools}
	switch {
	case o.quick, o.vm: // which counts instructions: more of them show no more
		p.length = 500 * time.Millisecond
	}
	var err, errOnly, errLink error
	p.workloads, err = choose(workloads, o.workload, "workload", func(w workload) string { return w.name })
	all, errOnly := choose(contenders(o), o.only, "contender", func(c contender) string { return c.name })
	if p.links = []string{o.link}; o.link == "both" {
		p.links = []string{linkWire, linkVeth}
	} else if linkTitles[o.link] == "" {
		errLink = fmt.Errorf("there is no link %q: try wire, veth or both", o.link)
	}
	if o.runs < 1 {
		errLink = errors.Join(errLink, errors.New("there must be a round at least: --runs 1"))
	}
	p.admit(all)
	return p, errors.Join(err, errOnly, errLink)
}

// defaults sets what was not given.
func (o *options) defaults() {
	link, baseline := "both", "upstream"
	if o.vm {
		link, baseline = linkWire, "wireguard"
		if o.only == nil {
			o.only = kernels
		}
	}
	if o.link == "" {
		o.link = link
	}
	if o.baseline == "" {
		o.baseline = baseline
	}
	if o.runs == 0 {
		switch {
		case o.quick:
			o.runs = 1
		case o.vm:
			o.runs = 3
		default:
			o.runs = 5
		}
	}
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

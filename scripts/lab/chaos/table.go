package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// A table has a row for each kind of fault.
type table struct {
	kinds []fault
	rows  map[string]*row
}

type row struct {
	times       int
	back, still time.Duration // the longest until mail flowed again: after the cause was gone, and after it came
}

func newTable(kinds []fault) *table {
	t := &table{kinds: kinds, rows: map[string]*row{}}
	for _, f := range kinds {
		t.rows[f.name] = &row{}
	}
	return t
}

func (t *table) add(f fault, back, still time.Duration) {
	r := t.rows[f.name]
	r.times, r.back, r.still = r.times+1, max(r.back, back), max(r.still, still)
}

// late says which kinds took longer than they may.
func (t *table) late() (err error) {
	for _, f := range t.kinds {
		if r := t.rows[f.name]; r.back > f.within {
			err = errors.Join(err, fmt.Errorf("%s: mail flowed only %.1f s after the cause was gone, not within %s", f.name, r.back.Seconds(), f.within))
		}
	}
	return err
}

// print writes the table as Markdown has it, and so that it can be read as it is.
func (t *table) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(tw, "| fault\t| times\t| mail flowed again after\t| may take\t| from its begin\t|")
	fmt.Fprintln(tw, "|---\t|---\t|---\t|---\t|---\t|")
	for _, f := range t.kinds {
		r := t.rows[f.name]
		still := "flowed on"
		if !f.flows {
			still = fmt.Sprintf("%.1f s", r.still.Seconds())
		}
		fmt.Fprintf(tw, "| %s\t| %d\t| %.1f s\t| %s\t| %s\t|\n", f.name, r.times, r.back.Seconds(), f.within, still)
	}
	tw.Flush()
}

// times is how many faults there were in all.
func (t *table) times() (n int) {
	for _, r := range t.rows {
		n += r.times
	}
	return n
}

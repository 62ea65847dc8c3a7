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

func (t *table) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "fault\ttimes\tlongest until mail flowed: after its cause was gone\tafter it came\tmay take")
	for _, f := range t.kinds {
		r := t.rows[f.name]
		still := "it flowed all the time"
		if !f.flows {
			still = fmt.Sprintf("%.1f s", r.still.Seconds())
		}
		fmt.Fprintf(tw, "%s\t%d\t%.1f s\t%s\t%s\n", f.name, r.times, r.back.Seconds(), still, f.within)
	}
	tw.Flush()
}

package main

import (
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"
)

// tables prints the report: a table for each kind of link and workload, with a line for each contender.
func (r *Report) tables() string {
	var text strings.Builder
	fmt.Fprintln(&text, r.Machine)
	fmt.Fprintf(&text, "medians of %d rounds, their ratio to %s, and (least-most)\n", r.Rounds, r.Baseline)
	for _, c := range r.Contenders {
		fmt.Fprintf(&text, "%s: %s\n", c.Name, c.Version)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&text, "%s: skipped: %s\n", s.Name, s.Why)
	}
	for _, link := range r.Links {
		for _, w := range workloads {
			r.table(&text, link, w)
		}
		r.memoryTable(&text, link)
		r.overview(&text, link)
	}
	return trailing.ReplaceAllString(text.String(), "")
}

// trailing is what tabwriter leaves at the end of lines.
var trailing = regexp.MustCompile(`(?m) +$`)

// linkTitles say what the kinds of link are.
var linkTitles = map[string]string{
	linkWire: "wire-like link",
	linkVeth: "veth as it comes",
}

// table prints one table, unless nothing of it was measured.
func (r *Report) table(text *strings.Builder, link string, w workload) {
	r.grid(text, fmt.Sprintf("%s: %s (%s)", linkTitles[link], w.title, w.name), link, w.name, w.metrics)
}

// memoryTable prints the memory of contenders that carry nothing.
func (r *Report) memoryTable(text *strings.Builder, link string) {
	r.grid(text, linkTitles[link]+": nothing to carry", link, idle, idleMetrics)
}

func (r *Report) grid(text *strings.Builder, title, link, workload string, metrics []metric) {
	var rows strings.Builder
	measured := false
	w := tabwriter.NewWriter(&rows, 0, 0, 2, ' ', 0)
	for _, m := range metrics {
		fmt.Fprintf(w, "\t%s\tratio\tspread", m.title)
	}
	fmt.Fprintln(w)
	for _, c := range r.Contenders {
		fmt.Fprint(w, c.Name)
		for _, m := range metrics {
			s := summarize(r.values(link, c.Name, workload, m.name))
			measured = measured || s.n > 0
			base := summarize(r.values(link, r.Baseline, workload, m.name))
			fmt.Fprintf(w, "\t%s", m.cell(s, base))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	if measured {
		fmt.Fprintf(text, "\n%s\n%s", title, rows.String())
	}
}

// cell is median, ratio and spread, in three columns.
func (m metric) cell(s, base summary) string {
	if s.n == 0 {
		return "-\t\t"
	}
	ratio := ""
	if r, ok := s.ratio(base); ok {
		ratio = fmt.Sprintf("%.2f", r)
	}
	spread := ""
	if s.n > 1 {
		spread = fmt.Sprintf("(%s-%s)", m.format(s.min), m.format(s.max))
	}
	return m.format(s.median) + "\t" + ratio + "\t" + spread
}

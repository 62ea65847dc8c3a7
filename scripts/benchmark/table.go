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
	var titles []string
	for _, m := range metrics {
		titles = append(titles, m.title+"\tratio\tspread")
	}
	measured := false
	rows := r.rows(titles, func(contender string) (cells []string) {
		for _, m := range metrics {
			s := summarize(r.values(link, contender, workload, m.name))
			measured = measured || s.n > 0
			cells = append(cells, m.cell(s, summarize(r.values(link, r.Baseline, workload, m.name))))
		}
		return cells
	})
	if measured {
		fmt.Fprintf(text, "\n%s\n%s", title, rows)
	}
}

// rows returns a line of titles and one for each contender. A title or cell may be several columns, with tabs between.
func (r *Report) rows(titles []string, cells func(contender string) []string) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\t%s\n", strings.Join(titles, "\t"))
	for _, c := range r.Contenders {
		fmt.Fprintf(w, "%s\t%s\n", c.Name, strings.Join(cells(c.Name), "\t"))
	}
	w.Flush()
	return text.String()
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

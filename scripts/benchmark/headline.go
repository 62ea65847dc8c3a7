package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// A headline is a figure that stands in the overview and in the chart.
type headline struct {
	workload, metric, title string
}

// The headlines of which more is better, and those of which less is.
var (
	more = []headline{
		{"mail4k", perSecond, "4 KiB mail/s"},
		{"mail4k-kept", perSecond, "4 KiB kept/s"},
		{"mail1m", perSecond, "1 MiB mail/s"},
		{"bulk1", gbitPerSecond, "bulk"},
		{"bulk8", gbitPerSecond, "bulk of 8"},
	}
	less = []headline{
		{"connect", connectTime, "connect"},
		{"connect", greetingTime, "greeting"},
		{"latency", responseTime, "response"},
		{"mail4k", processorTime, "CPU/4 KiB mail"},
		{"mail1m", processorTime, "CPU/1 MiB mail"},
		{"bulk1", processorTime, "CPU/GB"},
		{"bulk1", peakMemory, "memory, bulk"},
	}
)

// relative is a contender's summary of a headline in terms of the baseline's median; ok says whether there are both.
func (r *Report) relative(link, contender string, h headline) (s summary, ok bool) {
	s = summarize(r.values(link, contender, h.workload, h.metric))
	base := summarize(r.values(link, r.Baseline, h.workload, h.metric))
	if s.n == 0 || base.n == 0 || base.median <= 0 {
		return summary{}, false
	}
	return summary{n: s.n, median: s.median / base.median, min: s.min / base.median, max: s.max / base.median}, true
}

// overview is a table of ratios alone.
func (r *Report) overview(text *strings.Builder, link string) {
	first, others := r.measured(link, more), r.measured(link, less)
	if len(first)+len(others) == 0 {
		return
	}
	fmt.Fprintf(text, "\n%s: ratios to %s; of the first %d more is better, of the others less\n", linkTitles[link], r.Baseline, len(first))
	shown := append(first, others...)
	var titles []string
	for _, h := range shown {
		titles = append(titles, h.title)
	}
	text.WriteString(r.rows(titles, func(contender string) (cells []string) {
		for _, h := range shown {
			cell := "-"
			if s, ok := r.relative(link, contender, h); ok {
				cell = fmt.Sprintf("%.2f", s.median)
			}
			cells = append(cells, cell)
		}
		return cells
	}))
}

// measured are those of the headlines that the baseline was measured with.
func (r *Report) measured(link string, all []headline) (some []headline) {
	for _, h := range all {
		if _, ok := r.relative(link, r.Baseline, h); ok {
			some = append(some, h)
		}
	}
	return some
}

func headlines() []headline { return append(more[:len(more):len(more)], less...) }

// A panel is a diagram for the command chart, as is what it is made of.
type panel struct {
	Title, Axis string
	Categories  []string
	Series      []series
}

type series struct {
	Name   string
	Values []value
}

type value struct{ Median, Least, Most float64 }

// panels are the chart.
func (r *Report) panels() (all []panel) {
	for _, link := range r.Links {
		for _, half := range []struct {
			title string
			lines []headline
		}{{"more is better", more}, {"less is better", less}} {
			p := panel{
				Title: fmt.Sprintf("%s, %s (%s, %d cores)", linkTitles[link], half.title, r.Machine.Processor, r.Machine.Cores),
				Axis:  "ratio to " + r.Baseline,
			}
			for _, c := range r.Contenders {
				p.Series = append(p.Series, series{Name: c.Name})
			}
			for _, h := range r.measured(link, half.lines) {
				r.column(&p, link, h)
			}
			if len(p.Categories) > 0 {
				all = append(all, p)
			}
		}
	}
	return all
}

// column adds a headline to a panel.
func (r *Report) column(p *panel, link string, h headline) {
	p.Categories = append(p.Categories, h.title)
	for i, c := range r.Contenders {
		s, _ := r.relative(link, c.Name, h)
		p.Series[i].Values = append(p.Series[i].Values, value{Median: s.median, Least: s.min, Most: s.max})
	}
}

// plot has the command chart draw a file.
func (r *Report) plot(ctx context.Context, tools, file string) error {
	data, err := json.Marshal(r.panels())
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(tools, "chart"), file)
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("drawing %s: %w: %s", file, err, bytes.TrimSpace(out))
	}
	return nil
}

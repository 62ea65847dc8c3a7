package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// columns are those of the table.
var columns = []struct {
	title string
	of    func(r row) string
}{
	{"peers", func(r row) string { return fmt.Sprint(r.peers) }},
	{"start to ready", func(r row) string { return short(median(r.ready)) }},
	{"its processor time", func(r row) string { return short(median(r.readySpent)) }},
	{"reload of one, right after", func(r row) string { return short(median(r.busy)) }},
	{"when quiet", func(r row) string { return short(median(r.reloads)) }},
	{"look, nothing to do", func(r row) string { return short(median(r.looks)) }},
	{"resident", func(r row) string { return fmt.Sprintf("%d MB", r.resident>>10) }},
	{"at its peak", func(r row) string { return fmt.Sprintf("%d MB", r.peak>>10) }},
	{"idle, of a processor", func(r row) string { return fmt.Sprintf("%.1f %%", 100*r.idle) }},
	{"a packet's processor time, of that with 1 peer", func(r row) string { return fmt.Sprintf("%.2f", median(r.spent)) }},
	{"its time", func(r row) string { return fmt.Sprintf("%.2f", median(r.wall)) }},
}

// printRows writes the table as Markdown has it, and so that it can be read as it is.
func printRows(out io.Writer, rows []row) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	line := func(cell func(i int) string) {
		for i := range columns {
			fmt.Fprintf(w, "| %s\t", cell(i))
		}
		fmt.Fprintln(w, "|")
	}
	line(func(i int) string { return columns[i].title })
	fmt.Fprintln(w, strings.Repeat("|---\t", len(columns))+"|")
	for _, r := range rows {
		line(func(i int) string { return columns[i].of(r) })
	}
	return w.Flush()
}

func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// machine says what this was measured on.
func machine() string {
	model := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("%s, %d processors", model, runtime.NumCPU())
}

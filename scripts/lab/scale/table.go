package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// printRows writes the table.
func printRows(rows []row) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "peers\tstart to ready\tprocessor\treload of one, right after\tthe same, when quiet\tlook, nothing to do\tresident\tpeak\tidle processor\tpacket's processor, of that with 1\ttime, the same\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%d MB\t%d MB\t%.1f %%\t%.2f\t%.2f\t\n", r.peers, short(median(r.ready)), short(median(r.readySpent)),
			short(median(r.busy)), short(median(r.reloads)), short(median(r.looks)), r.resident>>10, r.peak>>10, 100*r.idle, median(r.spent), median(r.wall))
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

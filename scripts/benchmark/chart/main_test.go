package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const panels = `[{
	"Title": "wire-like link", "Axis": "ratio to upstream", "Categories": ["4 KiB mail/s", "bulk"],
	"Series": [
		{"Name": "none", "Values": [{"Median": 9, "Least": 8, "Most": 10}, {"Median": 0}]},
		{"Name": "upstream", "Values": [{"Median": 1, "Least": 1, "Most": 1}, {"Median": 1, "Least": 0.9, "Most": 1.1}]}
	]
}]`

func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chart.svg")
	if err := run([]string{file}, strings.NewReader(panels)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "wire-like link", "ratio to upstream", "4 KiB mail/s", "bulk", "none", "upstream", "</svg>"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("there is no %q in it", want)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ file, panels string }{
		"no panels":       {"chart.svg", "[]"},
		"no JSON":         {"chart.svg", "panels"},
		"no such format":  {"chart.txt", panels},
		"no such folder":  {"none/chart.svg", panels},
		"nothing in them": {"chart.svg", ""},
	} {
		if err := run([]string{filepath.Join(dir, tt.file)}, strings.NewReader(tt.panels)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := run(nil, strings.NewReader(panels)); err == nil {
		t.Error("no file: no error")
	}
}

func TestTicks(t *testing.T) {
	var labels []string
	for _, tick := range ticks(0.04, 12) {
		labels = append(labels, tick.Label)
	}
	if got, want := strings.Join(labels, " "), "0.05 0.1 0.2 0.5 1 2 5 10"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// example is a report of two rounds, with one measurement that was refused.
func example() *Report {
	r := &Report{
		Machine:    Machine{Processor: "Abacus", Cores: 2, Kernel: "Linux 6.18", Go: "go1.26"},
		Started:    time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		Rounds:     2,
		Seconds:    0.5,
		Baseline:   "upstream",
		Contenders: []Entrant{{"none", "no protection"}, {"postroad", "postroad 1.0"}, {"upstream", "wireguard-go v0"}},
		Skipped:    []Skipped{{"tinc", "there is no tincd here"}},
		Workloads:  []string{"mail4k", "connect"},
		Links:      []string{linkWire},
	}
	add := func(round int, contender, workload string, f Figures, wrong string) {
		r.Samples = append(r.Samples, Sample{Link: linkWire, Round: round, Contender: contender, Workload: workload, Figures: f, Error: wrong})
	}
	for i, round := range []int{1, 2} {
		more := float64(i)
		add(round, "none", idle, nil, "")
		add(round, "none", "mail4k", Figures{perSecond: 18000 + 1000*more, processorTime: 0.0001}, "")
		add(round, "postroad", idle, Figures{idleMemory: 12}, "")
		add(round, "postroad", "mail4k", Figures{perSecond: 3900 + 200*more, processorTime: 0.0004, daemonTime: 0.00025, peakMemory: 20}, "")
		add(round, "upstream", idle, Figures{idleMemory: 6}, "")
		add(round, "upstream", "mail4k", Figures{perSecond: 1900 + 200*more, processorTime: 0.0008, daemonTime: 0.0005, peakMemory: 400}, "")
		add(round, "upstream", "connect", Figures{connectTime: 500, greetingTime: 900, peakMemory: 7.5}, "")
	}
	add(1, "postroad", "connect", nil, "refused: 3 packets crossed the wire in clear")
	return r
}

func TestReportFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	if err := example().writeJSON(file); err != nil {
		t.Fatal(err)
	}
	got, err := readReport(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestReportFailed(t *testing.T) {
	r := example()
	if err := r.failed(); err == nil || err.Error() != "postroad connect, wire link, round 1: refused: 3 packets crossed the wire in clear" {
		t.Errorf("got %v", err)
	}
	r.Samples = r.Samples[:len(r.Samples)-1]
	if err := r.failed(); err != nil {
		t.Errorf("nothing is wrong: %v", err)
	}
	for _, s := range []Sample{
		{Workload: "mail4k"},
		{Workload: "mail4k", Figures: Figures{perSecond: 0, processorTime: 1}},
		{Workload: "bulk1", Figures: Figures{gbitPerSecond: 1}},
		{Workload: idle, Figures: Figures{idleMemory: 0}},
	} {
		if s.wrong() == "" {
			t.Errorf("nothing is wrong with %+v", s)
		}
	}
}

func TestProgress(t *testing.T) {
	r := example()
	if got, want := r.Samples[3].String(), "postroad mail4k: 3900 /s, 0.400 ms CPU/message, 0.250 ms of it the daemons', 20.0 MB"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := r.Samples[len(r.Samples)-1].String(), "postroad connect: refused: 3 packets crossed the wire in clear"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTables(t *testing.T) {
	const want = `Abacus, 2 cores, Linux 6.18, go1.26
medians of 2 rounds, their ratio to upstream, and (least-most)
none: no protection
postroad: postroad 1.0
upstream: wireguard-go v0
tinc: skipped: there is no tincd here

wire-like link: 4 KiB messages, a new connection each, 20 sessions (mail4k)
          messages/s  ratio  spread         CPU ms/message  ratio  spread         daemons' CPU  ratio  spread         peak MB  ratio  spread
none      18500       9.25   (18000-19000)  0.100           0.12   (0.100-0.100)  -                                   -
postroad  4000        2.00   (3900-4100)    0.400           0.50   (0.400-0.400)  0.250         0.50   (0.250-0.250)  20.0     0.05   (20.0-20.0)
upstream  2000        1.00   (1900-2100)    0.800           1.00   (0.800-0.800)  0.500         1.00   (0.500-0.500)  400      1.00   (400-400)

wire-like link: TCP connect, one after the other (connect)
          connected µs  ratio  spread     greeted µs  ratio  spread     peak MB  ratio  spread
none      -                               -                             -
postroad  -                               -                             -
upstream  500           1.00   (500-500)  900         1.00   (900-900)  7.50     1.00   (7.50-7.50)

wire-like link: nothing to carry
          idle MB  ratio  spread
none      -
postroad  12.0     2.00   (12.0-12.0)
upstream  6.00     1.00   (6.00-6.00)

wire-like link: ratios to upstream; of the first 1 more is better, of the others less
          4 KiB mail/s  connect  greeting  CPU/4 KiB mail
none      9.25          -        -         0.12
postroad  2.00          -        -         0.50
upstream  1.00          1.00     1.00      1.00
`
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(example().tables(), "\n")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPanels(t *testing.T) {
	want := []panel{
		{
			Title: "wire-like link, more is better (Abacus, 2 cores)", Axis: "ratio to upstream", Categories: []string{"4 KiB mail/s"},
			Series: []series{{"none", []value{{9.25, 9, 9.5}}}, {"postroad", []value{{2, 1.95, 2.05}}}, {"upstream", []value{{1, 0.95, 1.05}}}},
		},
		{
			Title: "wire-like link, less is better (Abacus, 2 cores)", Axis: "ratio to upstream",
			Categories: []string{"connect", "greeting", "CPU/4 KiB mail"},
			Series: []series{
				{"none", []value{{}, {}, {0.125, 0.125, 0.125}}},
				{"postroad", []value{{}, {}, {0.5, 0.5, 0.5}}},
				{"upstream", []value{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
			},
		},
	}
	if diff := cmp.Diff(want, example().panels()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFormat(t *testing.T) {
	m := metric{scale: 1e3}
	for v, want := range map[float64]string{0.00012345: "0.123", 0.0012345: "1.23", 0.012345: "12.3", 0.12345: "123", 1.2345: "1234"} {
		if got := m.format(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
)

// A Report is all that a run found out: what --json writes.
type Report struct {
	Machine    Machine   `json:"machine"`
	Started    time.Time `json:"started"`
	Rounds     int       `json:"rounds"`
	Seconds    float64   `json:"seconds"`  // of a measurement, about
	Baseline   string    `json:"baseline"` // the contender that the tables' ratios are to
	Contenders []Entrant `json:"contenders"`
	Skipped    []Skipped `json:"skipped"`
	Workloads  []string  `json:"workloads"`
	Links      []string  `json:"links"`
	Samples    []Sample  `json:"samples"`
}

// An Entrant is a contender that was measured.
type Entrant struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A Skipped contender was not measured.
type Skipped struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// Figures are what was measured, by the name of the metric.
type Figures map[string]float64

// A Sample is one measurement.
type Sample struct {
	Link      string  `json:"link"`
	Round     int     `json:"round"` // from 1
	Contender string  `json:"contender"`
	Workload  string  `json:"workload"` // "": setting the contender up or ending it
	Figures   Figures `json:"figures,omitempty"`
	Error     string  `json:"error,omitempty"` // why there are no figures
}

// String is a line of the progress.
func (s Sample) String() string {
	if s.Error != "" {
		return fmt.Sprintf("%s %s: %s", s.Contender, s.Workload, s.Error)
	}
	text := fmt.Sprintf("%s %s:", s.Contender, s.Workload)
	for _, m := range metricsOf(s.Workload) {
		if v, ok := s.Figures[m.name]; ok {
			text += fmt.Sprintf(" %s %s", m.format(v), m.unit)
			text += ","
		}
	}
	return strings.TrimSuffix(text, ",")
}

// empty is a report without samples yet.
func (p *plan) empty() *Report {
	r := &Report{
		Machine:  thisMachine(),
		Started:  time.Now().UTC().Truncate(time.Second),
		Rounds:   p.rounds,
		Seconds:  p.length.Seconds(),
		Baseline: p.baseline,
		Links:    p.links,
		Skipped:  p.skipped,
	}
	for _, c := range p.contenders {
		r.Contenders = append(r.Contenders, Entrant{Name: c.name, Version: c.version()})
	}
	for _, w := range p.workloads {
		r.Workloads = append(r.Workloads, w.name)
	}
	return r
}

// failed is an error if something could not be measured, or was refused, or came to nothing.
func (r *Report) failed() error {
	var errs []error
	if len(r.Samples) == 0 {
		errs = append(errs, errors.New("nothing was measured"))
	}
	for _, s := range r.Samples {
		if why := s.wrong(); why != "" {
			errs = append(errs, fmt.Errorf("%s %s, %s link, round %d: %s", s.Contender, s.Workload, s.Link, s.Round, why))
		}
	}
	return errors.Join(errs...)
}

// wrong says what is wrong with a sample; "": nothing is.
func (s Sample) wrong() string {
	if s.Error != "" {
		return s.Error
	}
	for _, m := range metricsOf(s.Workload) {
		v, measured := s.Figures[m.name]
		if !measured && m.optional || m.name == daemonTime { // the kernel does the daemon's work
			continue
		}
		if !(v > 0) || math.IsInf(v, 0) {
			return fmt.Sprintf("%s is %v", m.title, v)
		}
	}
	return ""
}

// values are all samples' values of a metric.
func (r *Report) values(link, contender, workload, metric string) (values []float64) {
	for _, s := range r.Samples {
		if v, ok := s.Figures[metric]; ok && s.Link == link && s.Contender == contender && s.Workload == workload {
			values = append(values, v)
		}
	}
	return values
}

// readReport reads what writeJSON wrote.
func readReport(file string) (*Report, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return r, nil
}

func (r *Report) writeJSON(file string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSummarize(t *testing.T) {
	for name, tt := range map[string]struct {
		values []float64
		want   summary
	}{
		"none": {nil, summary{}},
		"one":  {[]float64{3}, summary{n: 1, median: 3, min: 3, max: 3}},
		"odd":  {[]float64{9, 1, 2}, summary{n: 3, median: 2, min: 1, max: 9}},
		"even": {[]float64{4, 1, 2, 9}, summary{n: 4, median: 3, min: 1, max: 9}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, summarize(tt.values), cmp.AllowUnexported(summary{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The samples are the caller's, in the order in which they were measured.
func TestSummarizeLeavesValuesAlone(t *testing.T) {
	values := []float64{2, 1}
	summarize(values)
	if values[0] != 2 {
		t.Error("it sorted them")
	}
}

func TestRatio(t *testing.T) {
	for name, tt := range map[string]struct {
		of, to []float64
		want   float64
		ok     bool
	}{
		"twice":        {[]float64{4}, []float64{2}, 2, true},
		"no samples":   {nil, []float64{2}, 0, false},
		"no baseline":  {[]float64{4}, nil, 0, false},
		"to something": {[]float64{4}, []float64{0}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := summarize(tt.of).ratio(summarize(tt.to))
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}

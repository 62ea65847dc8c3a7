package main

import "slices"

// A summary is what counts of some samples.
type summary struct {
	n                int // samples; 0: nothing else has a meaning
	median, min, max float64
}

func summarize(values []float64) summary {
	if len(values) == 0 {
		return summary{}
	}
	s := slices.Sorted(slices.Values(values))
	middle := len(s) / 2
	median := s[middle]
	if len(s)%2 == 0 {
		median = (s[middle-1] + s[middle]) / 2
	}
	return summary{n: len(s), median: median, min: s[0], max: s[len(s)-1]}
}

// ratio is one median to another; ok says whether there are both.
func (s summary) ratio(to summary) (r float64, ok bool) {
	if s.n == 0 || to.n == 0 || to.median == 0 {
		return 0, false
	}
	return s.median / to.median, true
}

package main

import (
	"errors"
	"testing"
	"time"
)

func TestParseIperf(t *testing.T) {
	bits, bytes, err := parseIperf([]byte(`{"start": {"version": "iperf 3.12"}, "end": {
		"sum_sent": {"bytes": 9, "bits_per_second": 9},
		"sum_received": {"start": 0, "end": 2, "seconds": 2, "bytes": 250000000, "bits_per_second": 1e9}}}`))
	if bits != 1e9 || bytes != 250e6 || err != nil {
		t.Errorf("got %v, %v, %v", bits, bytes, err)
	}
	for name, bad := range map[string]string{
		"no JSON":          "iperf3: error - unable to connect",
		"an error":         `{"start": {}, "error": "unable to connect to server"}`,
		"nothing received": `{"end": {"sum_received": {"bytes": 0, "bits_per_second": 0}}}`,
	} {
		if _, _, err := parseIperf([]byte(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEnough(t *testing.T) {
	for name, tt := range map[string]struct {
		each time.Duration // that a message takes
		want int
	}{
		"fast": {10 * time.Microsecond, 200000},
		"slow": {20 * time.Millisecond, 100},
		"few":  {time.Second, sessions},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := enough(func(n int) (time.Duration, error) { return time.Duration(n) * tt.each, nil }, 2*time.Second)
			if got != tt.want || err != nil {
				t.Errorf("got %d, %v, want %d", got, err, tt.want)
			}
		})
	}
	want := errors.New("refused")
	if _, err := enough(func(int) (time.Duration, error) { return 0, want }, time.Second); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

func TestVerdict(t *testing.T) {
	for name, tt := range map[string]struct {
		bare           bool
		clear, crossed int
		ok             bool
	}{
		"protected":                 {false, 0, 1200, true},
		"one packet in clear":       {false, 1, 1200, false},
		"not on the wire":           {false, 0, 999, false},
		"unprotected":               {true, 10, 1200, true},
		"unprotected, but not seen": {true, 0, 1200, false},
	} {
		if err := verdict(tt.bare, tt.clear, tt.crossed, 1000); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMicroseconds(t *testing.T) {
	if got := microseconds([]time.Duration{9 * time.Millisecond, time.Microsecond, 2500 * time.Nanosecond}); got != 2.5 {
		t.Errorf("got %v", got)
	}
	if got := microseconds(nil); got != 0 {
		t.Errorf("of none: %v", got)
	}
}

package show

import (
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "now", 999 * time.Millisecond: "now", time.Second: "1s", 59*time.Second + 999: "59s", time.Minute: "1m",
		59*time.Minute + 59*time.Second: "59m", time.Hour: "1h", 47*time.Hour + time.Minute: "47h", 48 * time.Hour: "2d",
	} {
		if got := Age(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	if got := Since(time.Time{}, time.Now()); got != "-" {
		t.Errorf("never: %q", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0 B", 999: "999 B", 999.6: "1.0 KiB", 1024: "1.0 KiB", 10188: "9.9 KiB", 10190: "10 KiB", 1 << 20: "1.0 MiB",
		1023 * 1024: "1.0 MiB", 1.2 * (1 << 30): "1.2 GiB", 1 << 62: "4.0 EiB",
	} {
		if got := Size(n); got != want || len(got) > 7 {
			t.Errorf("%f: %q, want %q", n, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, test := range []struct {
		out, in uint64
		want    string
	}{{0, 0, "0"}, {3, 0, "3 out"}, {0, 4, "4 in"}, {3, 4, "3 out 4 in"}} {
		if got := Refused(test.out, test.in); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestClean(t *testing.T) {
	if got := Clean("a\x1b[31m\x00\u009b\u202e é日\n"); got != "a\ufffd[31m\ufffd\ufffd\ufffd é日\ufffd" {
		t.Errorf("got %q", got)
	}
}

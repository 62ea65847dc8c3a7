// Package show puts what the daemon says into words and tables for people.
package show

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Clean replaces whatever is not to be seen, such as the control characters
// that terminals obey: nothing that others wrote may steer one.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// Age says a duration in its largest unit, such as "3m". Anything below a second,
// or in the future, is "now".
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}

// Since is the age of a time. The zero time has none, which is "-".
func Since(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return Age(now.Sub(t))
}

// Size gives bytes to two or three digits in binary units, such as "1.2 GiB".
func Size(n float64) string {
	unit := 0
	for n >= 999.5 && unit < 6 {
		n, unit = n/1024, unit+1
	}
	switch {
	case unit == 0:
		return fmt.Sprintf("%.0f B", n)
	case n < 9.95:
		return fmt.Sprintf("%.1f %ciB", n, "KMGTPE"[unit-1])
	}
	return fmt.Sprintf("%.0f %ciB", n, "KMGTPE"[unit-1])
}

// Refused says how many clear packets were refused, and which way they went.
func Refused(out, in uint64) string {
	switch {
	case out == 0 && in == 0:
		return "0"
	case in == 0:
		return fmt.Sprintf("%d out", out)
	case out == 0:
		return fmt.Sprintf("%d in", in)
	}
	return fmt.Sprintf("%d out %d in", out, in)
}

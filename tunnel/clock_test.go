package tunnel

import (
	"testing"
	"time"
)

// A handshake is as old as it is, whatever the clock is set to between looks, and
// one that is made since is not touched.
func TestClock(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	var c clock
	var off time.Duration // of the system's clock
	up := func(d time.Duration) time.Time { return begin.Add(d + off) }
	look := func(at time.Duration) { c.look(up(at), at) }
	age := func(handshake time.Time, now, want time.Duration) {
		t.Helper()
		if got := up(now).Sub(c.correct(handshake)); got != want {
			t.Errorf("after %s: it is %s old, want %s", now, got, want)
		}
	}
	look(0)
	first := up(20 * time.Second)
	look(30 * time.Second)
	age(first, 30*time.Second, 10*time.Second)

	off = time.Hour // 40 s after the start
	second := up(45 * time.Second)
	look(50 * time.Second)
	age(first, 50*time.Second, 30*time.Second)
	age(second, 50*time.Second, 5*time.Second)

	off = 3 * time.Hour // again
	look(80 * time.Second)
	third := up(100 * time.Second)
	look(110 * time.Second)
	for handshake, made := range map[time.Time]time.Duration{first: 20 * time.Second, second: 45 * time.Second, third: 100 * time.Second} {
		age(handshake, 110*time.Second, 110*time.Second-made)
	}
	if got := c.correct(time.Time{}); !got.IsZero() {
		t.Errorf("never has become %s", got)
	}

	off = -time.Hour // what is dated later than now counts as alive
	look(140 * time.Second)
	if at := c.correct(third); !alive(at, up(140*time.Second)) {
		t.Errorf("by a clock that was set back a session has ended: %s, now %s", at, up(140*time.Second))
	}
	fourth := up(150 * time.Second)
	for at := 170 * time.Second; at <= 10*time.Minute; at += 30 * time.Second {
		look(at)
	}
	age(fourth, 10*time.Minute, 10*time.Minute-150*time.Second)
	if len(c.steps) > 0 {
		t.Errorf("%d steps are kept for ever", len(c.steps))
	}
}

// Looks that come late, and clocks that are slewed, are no steps.
func TestClockThatRuns(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	var c clock
	for i, at := range []time.Duration{0, 30 * time.Second, 10 * time.Minute, 20 * time.Minute, 20*time.Minute + time.Second} {
		c.look(begin.Add(at+time.Duration(i)*20*time.Second), at)
		if len(c.steps) > 0 {
			t.Fatalf("a step after %s: %+v", at, c.steps)
		}
	}
}

// By a clock that was set forward and back again, what is dated since is as old as
// it is, and so is what was dated before it was set forward.
func TestClockIsSetForwardAndBack(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for _, back := range []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour, 5 * time.Hour} {
		var c clock
		off := time.Duration(0)
		at := func(d time.Duration) time.Time { return begin.Add(d + off) }
		for i, step := range []time.Duration{0, time.Hour, 2 * time.Hour, -back} {
			off += step
			c.look(at(time.Duration(i)*10*time.Second), time.Duration(i)*10*time.Second)
		}
		if since := at(32 * time.Second); !c.correct(since).Equal(since) {
			t.Errorf("back by %s: what is of %s counts as of %s", back, since, c.correct(since))
		}
		if back <= 3*time.Hour {
			if age := at(35 * time.Second).Sub(c.correct(begin)); age != 35*time.Second {
				t.Errorf("back by %s: what is 35 s old counts as %s old", back, age)
			}
		}
	}
}

package userspace

import (
	"testing"
	"time"
)

// A machine is simulated: so many packets a second are offered, and one processor
// carries so many; each more makes it so many times as fast.
type machine struct {
	offered, one, scale float64
	most                int
}

// run lets a judge work for a time, and returns the processors used at the end,
// and the packets carried by the packets that could have been with one processor only.
func (m machine) run(j *judge, last *sample, d time.Duration) (processors int, carried float64) {
	total, alone := 0.0, 0.0
	for range int(d / window) {
		capacity := m.one
		for n := 1; n < j.now; n++ {
			capacity *= m.scale
		}
		rate := min(capacity, m.offered)
		s := sample{at: last.at + int64(window), packets: last.packets + int64(rate*window.Seconds())}
		s.used = last.used + int64(rate/capacity*float64(j.now)*float64(window))
		total, alone = total+rate, alone+min(m.one, m.offered)
		j.next(s, *last)
		*last = s
	}
	return j.now, total / alone
}

func TestProcessorsFollowTheLoad(t *testing.T) {
	for _, tt := range []struct {
		name string
		machine
		want  int
		least float64 // carried, by what one processor would have
	}{
		{"little to do", machine{1e4, 1e5, 1.8, 16}, 1, 1},
		{"one is enough", machine{8e4, 1e5, 1.8, 2}, 1, 1},
		{"two are needed", machine{1.5e5, 1e5, 1.8, 2}, 2, 1.45},
		{"all of four", machine{1e7, 1e5, 1.5, 4}, 4, 3.2},
		{"more than one makes it slower", machine{1e7, 1e5, 0.7, 16}, 1, 0.99},
		{"no gain", machine{1e7, 1e5, 1, 2}, 1, 0.99},
		{"no processor to have", machine{1e7, 1e5, 1.8, 1}, 1, 1},
	} {
		j, last := &judge{now: 1, most: tt.most, pause: firstPause}, &sample{at: 1}
		got, carried := tt.run(j, last, time.Minute)
		if j.trying {
			got--
		}
		if got != tt.want || carried < tt.least {
			t.Errorf("%s: %d processors and %.2f of what one carries, want %d and %.2f", tt.name, got, carried, tt.want, tt.least)
		}
	}
}

// The first packets find all processors in use, and leave one; an operator who has
// said how many is not contradicted.
func TestProcessorsBeginWithOne(t *testing.T) {
	var set []int
	p := &processors{most: 4, set: func(n int) { set = append(set, n) }}
	p.judge = judge{now: p.most, most: p.most, pause: firstPause}
	p.moved(1)
	p.moved(1)
	if len(set) != 1 || set[0] != 1 || p.packets.Load() != 2 {
		t.Errorf("processors were set to %v, %d packets counted", set, p.packets.Load())
	}
	t.Setenv("GOMAXPROCS", "2")
	if p := newProcessors(); p != nil {
		t.Error("GOMAXPROCS is not heeded")
	}
}

func TestProcessorsAreGivenBack(t *testing.T) {
	j, last := &judge{now: 1, most: 4, pause: firstPause}, &sample{at: 1}
	m := machine{1e7, 1e5, 1.8, 4}
	if got, _ := m.run(j, last, 10*time.Second); got != 4 {
		t.Fatalf("%d processors", got)
	}
	m.offered = 1e4
	if got, _ := m.run(j, last, time.Second); got != 1 {
		t.Errorf("%d processors when there was little to do", got)
	}
	m.offered = 1e7
	m.run(j, last, 10*time.Second)
	s := sample{at: last.at + int64(time.Minute), used: last.used, packets: last.packets + 1}
	if got := j.next(s, *last); got != 1 {
		t.Errorf("%d processors after a silence", got)
	}
}

// A load that does not gain is not disturbed ever again and again.
func TestProcessorsTryLessAndLess(t *testing.T) {
	j, last := &judge{now: 1, most: 2, pause: firstPause}, &sample{at: 1}
	m, tries := machine{1e7, 1e5, 1, 2}, 0
	for range 36000 {
		before := j.now
		if m.run(j, last, window); j.now > before {
			tries++
		}
	}
	if tries < 10 || tries > 30 {
		t.Errorf("%d tries in an hour", tries)
	}
}

// Who has to hurry gets all processors, packets or not; then it is as it was.
func TestProcessorsAreLent(t *testing.T) {
	set := make(chan int, 10)
	p := &processors{most: 4, set: func(n int) { set <- n }}
	p.judge = judge{now: p.most, most: p.most, pause: firstPause}
	p.moved(1)
	p.lend(1)
	for i, want := range []int{1, 4} {
		if got := <-set; got != want {
			t.Fatalf("set to %d, want %d, as number %d", got, want, i)
		}
	}
	p.lend(1) // another at the same time
	p.due.Store(0)
	p.moved(1) // after a silence: one would do
	p.lend(-1)
	select {
	case got := <-set:
		t.Fatalf("set to %d while all are lent", got)
	case <-time.After(100 * time.Millisecond):
	}
	p.lend(-1)
	if got := <-set; got != 1 {
		t.Errorf("set to %d at the end", got)
	}
	(*processors)(nil).lend(1)
}

// Packets do not wait while the number is being set: that may take as long as
// garbage is collected.
func TestPacketsDoNotWaitForProcessors(t *testing.T) {
	p := &processors{most: 4}
	p.mu.Lock()
	p.moved(1)
	if n := p.packets.Load(); n != 1 {
		t.Errorf("%d packets counted", n)
	}
}

package userspace

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The device hands each packet from goroutine to goroutine. As long as they run
// on one processor that costs next to nothing; on more, each hand-over wakes a
// thread, which costs more than to encrypt the packet. So we use one processor
// until it does not suffice, and more as far as more packets get through by it.
const (
	window = 100 * time.Millisecond // between two looks, while there is traffic
	busy   = 0.85                   // of what the processors can do: one more is tried
	idle   = 0.40                   // one less is enough
	gain   = 1.15                   // as many packets as before, at least, for another processor to be kept
	// firstPause is how long we wait after a try that did not pay, and lastPause how long at most: each time double.
	firstPause, lastPause = 5 * time.Second, 5 * time.Minute
)

// A processors says how many processors the process uses, by what the device
// does on them. It costs nothing while there is no traffic.
type processors struct {
	packets atomic.Int64 // since the start
	due     atomic.Int64 // when to look again, nanoseconds as now
	lent    atomic.Int32 // how many have borrowed all of them
	mu      sync.Mutex   // guards the rest
	most    int
	all     bool // are lent
	last    sample
	set     func(n int)
	judge   judge
}

// A sample is what is known at a time.
type sample struct {
	at, used int64 // nanoseconds as now, and of processor time
	packets  int64
}

// newProcessors returns nil if the operator has said how many.
func newProcessors() *processors {
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) < 2 {
		return nil
	}
	p := &processors{most: runtime.GOMAXPROCS(0), set: func(n int) { runtime.GOMAXPROCS(n) }}
	p.judge = judge{now: p.most, most: p.most, pause: firstPause}
	return p
}

// moved counts packets that the device has got to carry, and now and then looks
// whether the processors suffice.
func (p *processors) moved(n int) {
	if p == nil {
		return
	}
	p.packets.Add(int64(n))
	at, due := now(), p.due.Load()
	if at < due || !p.due.CompareAndSwap(due, at+int64(window)) {
		return
	}
	if !p.mu.TryLock() { // packets do not wait for that
		return
	}
	defer p.mu.Unlock()
	if p.all {
		return
	}
	s := sample{at: at, used: processorTime(), packets: p.packets.Load()}
	before := p.judge.now
	after := p.judge.next(s, p.last)
	if p.last = s; after != before {
		p.set(after)
	}
}

// lend has all processors used, for work that is not about packets, until as many
// are given back as were lent. It does not wait for that: where garbage is being
// collected, it is done when that is over.
func (p *processors) lend(n int32) {
	if p == nil {
		return
	}
	p.lent.Add(n)
	go func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch lent := p.lent.Load() > 0; {
		case lent && !p.all:
			p.all = true
			p.set(p.most)
		case !lent && p.all:
			p.all = false
			p.set(p.judge.now)
			if p.last.at != 0 { // what was used meanwhile was not for packets
				p.last = sample{at: now(), used: processorTime(), packets: p.packets.Load()}
			}
		}
	}()
}

// processorTime is how much this process has used, in nanoseconds.
func processorTime() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// A judge says how many processors to use next. It holds no clock.
type judge struct {
	now, most int
	pause     time.Duration // until the next try, after one that did not pay
	not       int64         // before then no try, nanoseconds as a sample's
	trying    bool
	before    float64 // packets a second with one processor less
}

// next returns how many processors to use from now on, given two samples.
func (j *judge) next(s, last sample) int {
	elapsed := float64(s.at - last.at)
	if last.at == 0 || elapsed > float64(5*window) { // there was no traffic for a while
		j.trying, j.now = false, 1
		return j.now
	}
	rate := float64(s.packets-last.packets) / elapsed * 1e9
	load := float64(s.used-last.used) / elapsed / float64(j.now)
	switch {
	case j.trying && rate < gain*j.before:
		j.now--
		j.not = s.at + int64(j.pause)
		j.pause = min(2*j.pause, lastPause)
		j.trying = false
	case load > busy && j.now < j.most && s.at >= j.not:
		if j.trying {
			j.pause = firstPause
		}
		j.before, j.trying = rate, true
		j.now++
	case load < idle && j.now > 1:
		j.now--
		j.trying = false
	default:
		if j.trying {
			j.pause = firstPause
		}
		j.trying = false
	}
	return j.now
}

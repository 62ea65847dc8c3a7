package tunnel

import (
	"log/slog"
	"time"
)

// refusedGap is how long there is between two lines about refused packets of one
// peer and direction.
const refusedGap = time.Minute

// A refusal is what is known of the clear packets that the guard refused, with
// one peer in one direction. The zero value has seen nothing.
type refusal struct {
	seen   bool
	count  uint64 // that the guard had at the last look
	untold uint64
	told   time.Time
}

// look notes the guard's count, which begins anew with a new guard. What is found
// at the first look was refused before.
func (r *refusal) look(count uint64) {
	if r.seen && count >= r.count {
		r.untold += count - r.count
	} else {
		r.untold += count
	}
	r.count = count
}

// tell logs what is not told yet: the first at once, then the sum of each
// minute. At the end all that is left is told.
func (r *refusal) tell(log *slog.Logger, peer, direction string, now time.Time, end bool) {
	first := !r.seen
	r.seen = true
	if r.untold == 0 || r.due(now) > 0 && !end {
		return
	}
	msg, level := "clear packets refused", slog.LevelWarn
	if first {
		msg, level = "clear packets were refused before this start", slog.LevelInfo
	}
	log.Log(background, level, msg, "peer", peer, "direction", direction, "count", r.untold)
	r.untold = 0
	if !first {
		r.told = now
	}
}

// due returns how long there is still to wait until something is to be told.
func (r *refusal) due(now time.Time) time.Duration {
	if r.untold == 0 {
		return interval
	}
	return max(0, r.told.Add(refusedGap).Sub(now))
}

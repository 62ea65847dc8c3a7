package userspace

import (
	"cmp"
	"encoding/hex"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/device"
)

const (
	// sessionOver is how long a guest stays after what was last sent or received: sessions, and tries to begin one,
	// are over by then.
	sessionOver = device.RejectAfterTime + 20*time.Second
	// noAnswer is how long one stays that was greeted, and does not answer: WireGuard would try again after REKEY_TIMEOUT.
	noAnswer = device.RekeyTimeout - tidyEvery
	// tidyEvery is how often we look for guests that can go, and tidyShare how many times as long as a look takes.
	tidyEvery, tidyShare = 2 * time.Second, 100
)

// A visit is a guest's time in the device.
type visit struct {
	since   time.Time
	active  time.Time // when something was last seen to be sent or received
	seen    traffic   // by then
	unasked bool      // it was greeted, and has not been heard of
}

// A traffic is what was sent and received.
type traffic struct {
	seconds, nanoseconds int64 // of the last handshake's time; zero: none
	sent, received       uint64
}

// and adds what came later.
func (t traffic) and(later traffic) traffic {
	if later.seconds == 0 {
		later.seconds, later.nanoseconds = t.seconds, t.nanoseconds
	}
	later.sent += t.sent
	later.received += t.received
	return later
}

// A present is what the device knows of a peer, and we do not.
type present struct {
	endpoint string
	traffic
}

// look asks the device.
func (r *roster) look() (head string, all map[[32]byte]*present, err error) {
	text, err := r.dev.IpcGet()
	if err != nil {
		return "", nil, err
	}
	all = map[[32]byte]*present{}
	at := &present{} // of no peer
	for line := range strings.Lines(text) {
		switch key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "="); key {
		case "public_key":
			var k [32]byte
			_, _ = hex.Decode(k[:], []byte(value))
			at = &present{}
			all[k] = at
		case "endpoint":
			at.endpoint = value
		case "last_handshake_time_sec":
			at.seconds, _ = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec":
			at.nanoseconds, _ = strconv.ParseInt(value, 10, 64)
		case "tx_bytes":
			at.sent, _ = strconv.ParseUint(value, 10, 64)
		case "rx_bytes":
			at.received, _ = strconv.ParseUint(value, 10, 64)
		default:
			if len(all) == 0 {
				head += line
			}
		}
	}
	return head, all, nil
}

// get says what is configured, and what was sent and received.
func (r *roster) get() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, net.ErrClosed
	}
	head, loaded, err := r.look()
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, len(head)+len(r.listed)*450), head...)
	for key, l := range r.listed {
		now := present{endpoint: l.endpoint}
		if d := loaded[key]; d != nil {
			now = *d
		}
		b = l.appendTo(b, now.endpoint, l.past.and(now.traffic))
	}
	return b, nil
}

func (l *listed) appendTo(b []byte, endpoint string, t traffic) []byte {
	line := func(name string) { b = append(append(b, name...), '=') }
	number := func(name string, n uint64) {
		line(name)
		b = append(strconv.AppendUint(b, n, 10), '\n')
	}
	line("public_key")
	b = append(hex.AppendEncode(b, l.key[:]), '\n')
	line("preshared_key")
	b = append(hex.AppendEncode(b, l.preshared[:]), '\n')
	number("protocol_version", 1)
	if endpoint != "" {
		line("endpoint")
		b = append(append(b, endpoint...), '\n')
	}
	number("last_handshake_time_sec", uint64(t.seconds))
	number("last_handshake_time_nsec", uint64(t.nanoseconds))
	number("tx_bytes", t.sent)
	number("rx_bytes", t.received)
	number("persistent_keepalive_interval", uint64(l.keepalive))
	for _, a := range l.allowed {
		line("allowed_ip")
		b = append(a.AppendTo(b), '\n')
	}
	return b
}

// tidy lets guests go, until the end.
func (r *roster) tidy() {
	wait := tidyEvery
	for {
		select {
		case <-r.done:
			return
		case <-time.After(wait):
		}
		begin := time.Now()
		r.sweep(begin)
		wait = max(tidyEvery, tidyShare*time.Since(begin))
	}
}

// sweep lets those guests go that need not stay any longer.
func (r *roster) sweep(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.visits == 0 || r.closed {
		return
	}
	_, loaded, err := r.look()
	if err != nil {
		return
	}
	for key, d := range loaded {
		if l := r.listed[key]; l != nil && !l.stays() && l.visit.over(d.traffic, now) {
			r.letGo(l, *d)
		}
	}
}

// over takes down what a guest has sent and received so far, and says whether it
// can go.
func (v *visit) over(t traffic, now time.Time) bool {
	if t != v.seen {
		v.seen, v.active = t, now
	}
	if v.unasked = v.unasked && t.received == 0; v.unasked {
		return now.Sub(v.since) >= noAnswer
	}
	return now.Sub(v.active) >= sessionOver
}

// letGo takes a guest out of the device.
func (r *roster) letGo(l *listed, d present) {
	l.endpoint, l.past = cmp.Or(d.endpoint, l.endpoint), l.past.and(d.traffic)
	r.leave(l) // before: a packet that comes now waits, and brings it in again
	r.dev.RemovePeer(l.key)
}

package userspace

import (
	"crypto/ecdh"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

// residents is how many peers the device has at all times, if there are as many.
// Those beyond are guests. Each costs some 40 KiB, most of it pointers that every
// collection of garbage looks at.
const residents = 500

// A roster has all peers that the device is to have, and stands in for it where
// it is configured and asked. Guests are in the device only while they are in use:
// the first packet to one brings it in, or the first of a handshake that it begins.
// It is let go when its session is over. What the device would forget by that is
// kept here.
type roster struct {
	bind conn.Bind
	room int // for residents
	away away
	door chan arrival
	done chan struct{} // closed with the device

	mu       sync.Mutex // guards the rest; held while the device is changed
	dev      *device.Device
	closed   bool
	private  *ecdh.PrivateKey // nil: none
	public   [32]byte
	checker  device.CookieChecker
	listed   map[[32]byte]*listed
	owners   map[netip.Prefix]*listed // of what is allowed
	resident int
	visits   int // guests in the device that may be let go
}

// A listed is a peer as it is configured.
type listed struct {
	key       [32]byte
	preshared [32]byte
	endpoint  string // "": not known
	keepalive uint16
	allowed   []netip.Prefix
	resident  bool

	newest [12]byte // the time of the last handshake that it began, see [Initiation]
	past   traffic  // until it was let go last

	loaded bool // the device has it
	visit  visit
}

func newRoster(bind conn.Bind, room int) *roster {
	return &roster{
		bind: bind, room: room,
		door: make(chan arrival, 256), done: make(chan struct{}),
		away:   away{by: map[netip.Addr]*listed{}},
		listed: map[[32]byte]*listed{}, owners: map[netip.Prefix]*listed{},
	}
}

// begin has the roster stand in for a device that has no peers yet.
func (r *roster) begin(dev *device.Device) {
	r.mu.Lock()
	r.dev = dev
	r.mu.Unlock()
	go r.receive()
	go r.tidy()
}

// end leaves the device alone from now on: it closes with locks held that it takes
// to be changed or asked, and waits for who reads the interface, whom it must not
// find waiting for us. It may be called again.
func (r *roster) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.done)
	}
}

// stays says whether a peer is in the device at all times: who is sent keepalives
// is in use, and ranges of addresses are not looked up.
func (l *listed) stays() bool {
	return l.resident || l.keepalive > 0 || slices.ContainsFunc(l.allowed, func(p netip.Prefix) bool { return !p.IsSingleIP() })
}

// setText does what the lines of a request ask for. It does nothing if one of them
// makes no sense.
func (r *roster) setText(lines []string) error {
	q, err := parseRequest(lines, func(s string) (string, error) {
		e, err := r.bind.ParseEndpoint(s)
		if err != nil {
			return "", err
		}
		return e.DstToString(), nil
	})
	if err != nil {
		return err
	}
	return r.set(q)
}

func (r *roster) set(q request) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return net.ErrClosed
	}
	if err := r.setDevice(q); err != nil {
		return err
	}
	var p pending
	for _, c := range q.peers {
		r.change(c, &p)
	}
	return r.do(&p)
}

func (r *roster) setDevice(q request) error {
	if q.private != nil {
		if err := r.setPrivate(*q.private); err != nil {
			return err
		}
	}
	if q.replace {
		r.dev.RemoveAllPeers()
		clear(r.listed)
		clear(r.owners)
		r.resident, r.visits = 0, 0
		r.away.clear()
	}
	if len(q.device) == 0 {
		return nil
	}
	return r.dev.IpcSet(strings.Join(q.device, "\n") + "\n")
}

// setPrivate sets the private key. A host is no peer of its own.
func (r *roster) setPrivate(key [32]byte) error {
	if err := r.dev.IpcSet("private_key=" + hex.EncodeToString(key[:]) + "\n"); err != nil {
		return err
	}
	private, err := ecdh.X25519().NewPrivateKey(key[:])
	if err != nil {
		return err
	}
	r.private, r.public = private, [32]byte(private.PublicKey().Bytes())
	r.checker.Init(r.public)
	if l := r.listed[r.public]; l != nil {
		r.drop(l)
	}
	return nil
}

// A pending is what the device is to be told, and of which peers.
type pending struct {
	text  strings.Builder
	peers []*listed
}

// about begins what is told of a peer.
func (p *pending) about(l *listed, lines ...string) {
	p.peers = append(p.peers, l)
	fmt.Fprintf(&p.text, "public_key=%x\n", l.key)
	for _, line := range lines {
		p.text.WriteString(line)
		p.text.WriteByte('\n')
	}
}

// do tells the device. It fails where it has too many peers: those that it may not
// know all of, it has again when they are needed.
func (r *roster) do(p *pending) error {
	if p.text.Len() == 0 {
		return nil
	}
	err := r.dev.IpcSet(p.text.String())
	if err == nil {
		return nil
	}
	for _, l := range p.peers {
		if r.dev.RemovePeer(l.key); l.loaded {
			r.leave(l)
		}
	}
	return err
}

// change changes a peer.
func (r *roster) change(c change, p *pending) {
	l := r.listed[c.key]
	switch {
	case c.key == r.public:
		return
	case c.remove:
		if l != nil {
			if l.loaded {
				p.about(l, "remove=true")
			}
			r.drop(l)
		}
		return
	case l == nil && c.updateOnly:
		return
	case l == nil:
		l = r.add(c.key)
	}
	r.away.remove(l, l.allowed...)
	r.apply(l, c, p)
	switch {
	case l.loaded:
		p.about(l, c.lines...)
	case l.stays():
		p.about(l, l.config()...)
		r.arrive(l)
	default:
		r.away.add(l)
	}
}

func (r *roster) add(key [32]byte) *listed {
	l := &listed{key: key, resident: r.resident < r.room}
	if l.resident {
		r.resident++
	}
	r.listed[key] = l
	return l
}

// drop takes a peer off the roster. It does not tell the device.
func (r *roster) drop(l *listed) {
	if l.loaded {
		r.leave(l)
	}
	r.away.remove(l, l.allowed...)
	r.disallowAll(l)
	if l.resident {
		r.resident--
	}
	delete(r.listed, l.key)
}

// apply notes what is said of a peer. What is allowed to it is so to no other.
func (r *roster) apply(l *listed, c change, p *pending) {
	if c.preshared != nil {
		l.preshared = *c.preshared
	}
	if c.endpoint != nil {
		l.endpoint = *c.endpoint
	}
	if c.keepalive != nil {
		l.keepalive = *c.keepalive
	}
	for _, a := range c.allowed {
		switch owner := r.owners[a.prefix]; {
		case a == allowedChange{}:
			r.disallowAll(l)
		case a.remove && owner == l:
			r.disallow(l, a.prefix)
		case !a.remove && owner != l:
			if owner != nil {
				r.disallow(owner, a.prefix)
				if owner.loaded {
					p.about(owner, "update_only=true", "allowed_ip=-"+a.prefix.String())
				}
			}
			r.owners[a.prefix] = l
			l.allowed = append(l.allowed, a.prefix)
		}
	}
}

func (r *roster) disallow(l *listed, p netip.Prefix) {
	delete(r.owners, p)
	l.allowed = slices.DeleteFunc(l.allowed, func(a netip.Prefix) bool { return a == p })
	r.away.remove(l, p)
}

func (r *roster) disallowAll(l *listed) {
	for _, a := range l.allowed {
		delete(r.owners, a)
	}
	l.allowed = nil
}

// config returns what the device is told of a peer that it does not have.
func (l *listed) config() []string {
	lines := []string{fmt.Sprintf("preshared_key=%x", l.preshared)}
	if l.endpoint != "" {
		lines = append(lines, "endpoint="+l.endpoint)
	}
	lines = append(lines, fmt.Sprintf("persistent_keepalive_interval=%d", l.keepalive))
	for _, a := range l.allowed {
		lines = append(lines, "allowed_ip="+a.String())
	}
	return lines
}

// load has the device have a peer.
func (r *roster) load(l *listed) error {
	if r.closed {
		return net.ErrClosed
	}
	if l.loaded || r.listed[l.key] != l {
		return nil
	}
	var p pending
	p.about(l, l.config()...)
	if err := r.do(&p); err != nil {
		return err
	}
	r.arrive(l)
	return nil
}

// arrive notes that the device has a peer from now on.
func (r *roster) arrive(l *listed) {
	l.loaded, l.visit = true, visit{since: time.Now()}
	l.visit.active = l.visit.since
	r.away.remove(l, l.allowed...)
	if !l.resident {
		r.visits++
	}
}

// leave notes that it has not.
func (r *roster) leave(l *listed) {
	l.loaded = false
	r.away.add(l)
	if !l.resident {
		r.visits--
	}
}

// greet begins a handshake with a peer, if it is listed.
func (r *roster) greet(key [32]byte) {
	r.mu.Lock()
	if l := r.listed[key]; l != nil && !l.loaded && r.load(l) == nil {
		l.visit.unasked = true
	}
	dev := r.dev
	r.mu.Unlock()
	if p := dev.LookupPeer(key); p != nil {
		_ = p.SendHandshakeInitiation(false)
	}
}

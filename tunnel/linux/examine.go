package linux

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/doctor"
)

// How long is looked. A host calls every five seconds (REKEY_TIMEOUT), and when
// its session is dead, fifteen seconds after it began to send (KEEPALIVE_TIMEOUT
// and REKEY_TIMEOUT; WireGuard's whitepaper, section 6.1).
const (
	lookTime     = 7 * time.Second
	deadLookTime = 22 * time.Second
	atOnce       = 32 // peers examined at the same time
)

// An Examiner looks at this host, and at the wire, for a doctor.
type Examiner struct {
	Names   []string                                         // peers to examine; none: all
	Lookup  map[string][]netip.Addr                          // what endpoint names resolve to
	Remarks func(context.Context, peers.Peer) []peers.Remark // what DNS says otherwise; nil: it is not asked
	Bypass  map[peers.PublicKey]bool                         // peers whose SMTP flows in clear by policy

	config *peers.Config
	kernel *Kernel
	wire   *wire
}

// Examine adds to what e says of file and daemon what is to be seen of the
// host, and with the peers. It sends SMTP's first words, and takes nothing away.
func (x *Examiner) Examine(ctx context.Context, e *doctor.Evidence) error {
	x.config, x.kernel = e.Config, NewReader(slog.New(slog.DiscardHandler))
	if x.config == nil {
		return nil
	}
	if e.LookError = x.observe(ctx, e); e.LookError != nil {
		return nil
	}
	x.host(ctx, e)
	for _, p := range x.config.Peers {
		if len(x.Names) == 0 || slices.Contains(x.Names, p.Name) {
			e.Peers = append(e.Peers, x.peer(e, p))
		}
	}
	if len(e.Peers) == 0 {
		return nil
	}
	return x.peers(ctx, e)
}

// observeTimeout is how long a WireGuard may take to say what it knows: that of a
// daemon that hangs never does.
const observeTimeout = 5 * time.Second

func (x *Examiner) observe(ctx context.Context, e *doctor.Evidence) error {
	q := tunnel.Query{Link: x.config.Host.Link, Remotes: tunnel.Remotes(x.config, x.Lookup)}
	done := make(chan error, 1)
	var have tunnel.State
	var facts tunnel.Facts
	go func() {
		var err error
		have, facts, err = x.kernel.Observe(ctx, q)
		done <- err
	}()
	select {
	case err := <-done:
		e.Have, e.Facts = have, facts
		e.Facts.Endpoints, e.Facts.Bypass, e.Facts.MTUs = x.Lookup, x.Bypass, tunnel.RouteMTUs(x.config, have)
		e.Want = tunnel.Want(x.config, e.Facts)
		return err
	case <-time.After(observeTimeout):
		return errors.New("WireGuard does not say what it knows: whoever carries the link hangs")
	}
}

func (x *Examiner) host(ctx context.Context, e *doctor.Evidence) {
	port := x.config.Host.ListenPort
	wires, mail := x.ways(e)
	e.Host.Firewalls = firewalls(ctx, x.config.Host, wires, mail)
	e.Host.Networkd, e.Host.NetManager = networkdTakes(), networkManagerTakes(x.config.Host.Link)
	e.Host.Unsynced = unsynced()
	e.Host.Future = changedLater(e.Now, e.File, peers.DefaultSelectorsFile)
	e.Host.OutOf = mtaSources(ctx)
	if e.Have.Device.ListenPort != port {
		e.Host.PortOwner = udpOwner(port)
	}
	ports, remotes := map[uint16]bool{}, map[netip.Addr]bool{}
	for _, p := range x.config.Host.Ports {
		ports[p] = true
	}
	for _, p := range x.config.Peers {
		for _, a := range p.Addresses {
			remotes[a] = true
		}
	}
	e.Host.Speaking = smtpEnds(ports, remotes)
}

// peer is what is known of a peer before the wire is looked at.
func (x *Examiner) peer(e *doctor.Evidence, p peers.Peer) doctor.Peer {
	d := doctor.Peer{Peer: p, Endpoint: endpointOf(e.Have.Device, p.PublicKey)}
	if !d.Endpoint.IsValid() {
		d.Endpoint = endpointOf(e.Want.Device, p.PublicKey)
	}
	if e.Daemon != nil {
		for _, s := range e.Daemon.Peers {
			if s.Name == p.Name {
				d.State = s
			}
		}
	}
	for _, a := range p.Addresses {
		d.Proofs = append(d.Proofs, doctor.Proof{Addr: a})
	}
	return d
}

func endpointOf(d tunnel.Device, key peers.PublicKey) netip.AddrPort {
	for _, p := range d.Peers {
		if p.PublicKey == key {
			return p.Endpoint
		}
	}
	return netip.AddrPort{}
}

// peers looks at the wire while it speaks with the peers.
func (x *Examiner) peers(ctx context.Context, e *doctor.Evidence) error {
	x.wire = newWire(x.config, e)
	wire, err := startCapture([]string{"lo", e.Have.Link.Name}, x.wire.see)
	if err != nil {
		return err
	}
	looking, stop := context.WithCancel(ctx)
	defer stop()
	var capturing errgroup.Group
	capturing.Go(func() error { return wire.run(looking) })
	inlet, inletErr := openInlet(x.config.Host, x.wire.senders())

	var all errgroup.Group
	all.SetLimit(atOnce)
	for i := range e.Peers {
		all.Go(func() error { x.examine(ctx, e, &e.Peers[i]); return nil })
	}
	_ = all.Wait()

	if inletErr == nil {
		inletErr = errors.Join(x.count(e, inlet), inlet.close())
	}
	stop()
	e.Host.PacketsLost = wire.close() > 0
	return errors.Join(capturing.Wait(), inletErr)
}

// newWire watches for the peers under examination. What is seen goes straight
// into the evidence.
func newWire(c *peers.Config, e *doctor.Evidence) *wire {
	w := &wire{key: c.Host.PrivateKey, public: c.Host.PrivateKey.Public(), smtp: c.Host.Ports,
		endpoints: map[netip.Addr]*doctor.Seen{}, addresses: map[netip.Addr]*doctor.Seen{},
		exchange: map[netip.Addr]int{}, clear: map[netip.Addr]int{}}
	for i := range e.Peers {
		p := &e.Peers[i]
		for _, a := range p.Addresses {
			w.addresses[a] = &p.Seen
			w.endpoints[a] = &p.Seen
		}
	}
	for i := range e.Peers { // these count more than mail addresses
		if p := &e.Peers[i]; p.Endpoint.IsValid() {
			w.endpoints[p.Endpoint.Addr()] = &p.Seen
		}
	}
	return w
}

func (w *wire) senders() (all []netip.Addr) {
	for a := range w.endpoints {
		all = append(all, a)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// examine speaks with a peer, and waits for what it says.
func (x *Examiner) examine(ctx context.Context, e *doctor.Evidence, p *doctor.Peer) {
	var all sync.WaitGroup
	if x.Remarks != nil {
		all.Go(func() { p.DNS = x.Remarks(ctx, p.Peer) })
	}
	if e.Have.Link.Name != "" && p.Endpoint.IsValid() {
		all.Go(func() { p.Pings = pings(ctx, p.Endpoint.Addr()) })
		all.Go(func() { p.OtherUDP = refusesUDP(ctx, p.Endpoint.Addr()) })
	}
	v := prover{name: x.config.Host.Name, ports: x.config.Host.Ports, full: e.Have.Link.MTU, timeout: lookTime}
	var proofs errgroup.Group
	if time.Since(handshakeOf(e.Have.Device, p.PublicKey)) < sessionLife {
		proofs.SetLimit(1) // so that each counts its own packets
	}
	all.Go(func() { p.Answered = x.hear(ctx, p) })
	for i := range p.Proofs {
		proofs.Go(func() error { x.proof(ctx, e, p, &p.Proofs[i], v); return nil })
	}
	_ = proofs.Wait()
	all.Wait()
}

// proof has a session with one address, and then sends a packet past the tunnel.
func (x *Examiner) proof(ctx context.Context, e *doctor.Evidence, p *doctor.Peer, proof *doctor.Proof, v prover) {
	if !tunnel.Closed(e.Have, proof.Addr, v.ports) {
		proof.Kind, proof.Error = doctor.NotTried, "not tried: it would be in clear"
		return
	}
	way, err := smtpWay(proof.Addr, v.ports[0])
	proof.Routed = err == nil && way == e.Have.Link.Name
	if err == nil && !proof.Routed {
		proof.Via = "to " + way
	}
	before := x.exchanged(p)
	v.prove(ctx, proof)
	v.proveSources(ctx, proof, e.Want.Guard.Own)
	proof.Encrypted = x.exchanged(p) - before
	path, ok := e.Facts.Paths[proof.Addr]
	if !ok {
		return
	}
	proof.Clear = x.inClear(proof.Addr)
	if err := sendPast(ctx, netip.AddrPortFrom(proof.Addr, v.ports[0]), path.Link); err != nil {
		proof.Past = cause(err)
	}
	proof.PastOut = x.inClear(proof.Addr) - proof.Clear
	proof.Escaped = proof.PastOut > 0
}

func (x *Examiner) exchanged(p *doctor.Peer) (n int) {
	x.wire.look(func() { n = x.wire.exchange[p.Endpoint.Addr()] })
	return n
}

func (x *Examiner) inClear(a netip.Addr) (n int) {
	x.wire.look(func() { n = x.wire.clear[a] })
	return n
}

// hear waits until the peer has answered, and says whether it has.
func (x *Examiner) hear(ctx context.Context, p *doctor.Peer) bool {
	began := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		device, _, err := observeDevice(x.config.Host.Link, len(x.config.Peers))
		last := handshakeOf(device, p.PublicKey)
		var seen doctor.Seen
		x.wire.look(func() { seen = p.Seen })
		fresh := time.Since(last) < sessionLife
		switch limit := time.Since(began); {
		case last.After(began), fresh && seen.In.Data > 0:
			return true
		case fresh && seen.Out.Data == 0 && len(seen.Calls) == 0 && limit > lookTime: // nothing is asked of it
			return true
		case err != nil, limit > deadLookTime, limit > lookTime && (!fresh || seen.In.Responses > 0):
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// sessionLife is REJECT_AFTER_TIME, after which a session carries nothing.
const sessionLife = 180 * time.Second

func handshakeOf(d tunnel.Device, key peers.PublicKey) time.Time {
	for _, p := range d.Peers {
		if p.PublicKey == key {
			return p.LastHandshake
		}
	}
	return time.Time{}
}

// count reads what came in, and what passed the filters.
func (x *Examiner) count(e *doctor.Evidence, i *inlet) error {
	arrived, accepted, err := i.counts()
	e.Host.Answers = doctor.Passed{Arrived: arrived[counted{}], Accepted: accepted[counted{}]}
	e.Host.Calls = doctor.Passed{Arrived: arrived[counted{call: true}], Accepted: accepted[counted{call: true}]}
	for n := range e.Peers {
		p := &e.Peers[n]
		for a, seen := range x.wire.endpoints {
			if seen == &p.Seen {
				p.Arrived += arrived[counted{sender: a}]
				p.Accepted += accepted[counted{sender: a}]
			}
		}
	}
	return err
}

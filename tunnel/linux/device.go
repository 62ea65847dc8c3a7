package linux

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"postroad/peers"
	"postroad/tunnel"
)

// observeDevice reads what WireGuard knows; ok is false where no WireGuard
// answers for that link. It has about as many peers as is said.
func observeDevice(link string, about int) (d tunnel.Device, ok bool, err error) {
	d, err = readDevice(link, about)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED): // no socket, or one left behind
		return tunnel.Device{}, false, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errDeviceSilent
	}
	if err != nil {
		return tunnel.Device{}, false, fmt.Errorf("reading wireguard device %s: %w", link, err)
	}
	for _, p := range d.Peers {
		slices.SortFunc(p.Allowed, netip.Addr.Compare)
	}
	slices.SortFunc(d.Peers, func(a, b tunnel.DevicePeer) int { return bytes.Compare(a.PublicKey[:], b.PublicKey[:]) })
	return d, true, nil
}

// deviceTimeout is how long WireGuard in a process, which may hang, may take to
// say what it knows: with tens of thousands of peers, some seconds.
const deviceTimeout = 30 * time.Second

var errDeviceSilent = errors.New("it does not answer: the process that it is in hangs, or can open no more files")

func readDevice(link string, about int) (d tunnel.Device, err error) {
	l, err := netlink.LinkByName(link)
	if err != nil || l.Type() != wireguard {
		return readUAPI(link, about)
	}
	c, err := wgctrl.New()
	if err != nil {
		return d, err
	}
	defer c.Close()
	w, err := c.Device(link)
	if err != nil {
		return d, err
	}
	d.PrivateKey, d.ListenPort = peers.PrivateKeyFrom(w.PrivateKey), uint16(w.ListenPort)
	for _, p := range w.Peers {
		d.Peers = append(d.Peers, fromPeer(p))
	}
	return d, nil
}

func fromPeer(p wgtypes.Peer) tunnel.DevicePeer {
	t := tunnel.DevicePeer{
		PublicKey:    peers.PublicKey(p.PublicKey),
		PresharedKey: peers.PresharedKeyFrom(p.PresharedKey),
		Keepalive:    p.PersistentKeepaliveInterval,
		Received:     p.ReceiveBytes,
		Sent:         p.TransmitBytes,
	}
	if p.LastHandshakeTime.Unix() > 0 {
		t.LastHandshake = p.LastHandshakeTime
	}
	if p.Endpoint != nil {
		e := p.Endpoint.AddrPort()
		t.Endpoint = netip.AddrPortFrom(e.Addr().Unmap(), e.Port())
	}
	for _, n := range p.AllowedIPs {
		a, _ := prefix(&n)
		t.Allowed = append(t.Allowed, allowed(a))
	}
	return t
}

// allowed returns the address that is allowed. A wider prefix is not of our making:
// that it is no address makes the peer differ.
func allowed(p netip.Prefix) netip.Addr {
	if !p.IsSingleIP() {
		return netip.Addr{}
	}
	return p.Addr()
}

func configure(link string, cfg wgtypes.Config) error {
	c, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("opening wireguard: %w", err)
	}
	defer c.Close()
	return withErrno(c.ConfigureDevice(link, cfg))
}

// uapiErrno is all that wgctrl says of an error of a UAPI device.
var uapiErrno = regexp.MustCompile(`errno=-(\d+)$`)

// withErrno makes of it the system's error of that number, which has words.
func withErrno(err error) error {
	if err == nil {
		return nil
	}
	m := uapiErrno.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	n, convErr := strconv.Atoi(m[1])
	if convErr != nil {
		return err
	}
	return syscall.Errno(n)
}

// setDevice changes the port only where it differs: setting it rebinds the
// socket even if it is the same.
func setDevice(s tunnel.SetDevice) error {
	have, _, err := observeDevice(s.Link, 0)
	if err != nil {
		return err
	}
	key, port := wgtypes.Key(s.PrivateKey.Bytes()), int(s.ListenPort)
	cfg := wgtypes.Config{PrivateKey: &key}
	if have.ListenPort != s.ListenPort {
		if err := portFree(port); err != nil {
			return err // before the device closes the one it has
		}
		cfg.ListenPort = &port
	}
	return configure(s.Link, cfg)
}

// portFree says why a UDP port cannot be had.
func portFree(port int) error {
	c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return err
	}
	return c.Close()
}

// doPeers configures the peers of steps of one kind in one go or, where that
// fails, one by one, to learn of each whether it can be done.
func doPeers[S tunnel.Step](steps []tunnel.Step, configs func(S) (link string, _ []wgtypes.PeerConfig)) []error {
	link, all := rounds(steps, configs)
	var err error
	for i := 0; i < len(all) && err == nil; i++ {
		err = configure(link, wgtypes.Config{Peers: all[i]})
	}
	switch {
	case err == nil:
		return nil
	case len(steps) == 1:
		return []error{err}
	}
	errs := make([]error, len(steps))
	for i := range steps {
		if one := doPeers(steps[i:i+1], configs); one != nil {
			errs[i] = one[0]
		}
	}
	return errs
}

// rounds returns what comes first for all peers, then what comes second for any:
// of more than 32 at once wgctrl leaves out what it is told of one for the second
// time, but for its addresses.
func rounds[S tunnel.Step](steps []tunnel.Step, configs func(S) (link string, _ []wgtypes.PeerConfig)) (link string, all [][]wgtypes.PeerConfig) {
	for _, s := range steps {
		on, some := configs(s.(S))
		link = on
		for i, one := range some {
			if i == len(all) {
				all = append(all, nil)
			}
			all[i] = append(all[i], one)
		}
	}
	return link, all
}

func setPeer(s tunnel.SetPeer) (link string, _ []wgtypes.PeerConfig) {
	psk := wgtypes.Key(s.Peer.PresharedKey.Bytes()) // zero removes one; nil would keep it
	cfg := wgtypes.PeerConfig{
		PublicKey:                   wgtypes.Key(s.Peer.PublicKey),
		PresharedKey:                &psk,
		PersistentKeepaliveInterval: &s.Peer.Keepalive,
		ReplaceAllowedIPs:           true,
	}
	if s.Peer.Endpoint.IsValid() {
		cfg.Endpoint = net.UDPAddrFromAddrPort(s.Peer.Endpoint)
	}
	for _, a := range s.Peer.Allowed {
		cfg.AllowedIPs = append(cfg.AllowedIPs, *ipNet(netip.PrefixFrom(a, a.BitLen())))
	}
	if s.Peer.Anew {
		return s.Link, []wgtypes.PeerConfig{{PublicKey: cfg.PublicKey, Remove: true}, cfg}
	}
	return s.Link, []wgtypes.PeerConfig{cfg}
}

func removePeer(s tunnel.RemovePeer) (link string, _ []wgtypes.PeerConfig) {
	return s.Link, []wgtypes.PeerConfig{{PublicKey: wgtypes.Key(s.Key), Remove: true}}
}

// greet begins handshakes of WireGuard within this process.
func (k *Kernel) greet(steps []tunnel.Step) []error {
	for _, s := range steps {
		k.device.Greet(s.(tunnel.GreetPeer).Peer.PublicKey)
	}
	return nil
}

// greetKernels begins handshakes of the kernel's WireGuard. Where that takes a
// session for alive, a keepalive says nothing new to a peer that has lost it. So
// they are sent a packet, too, that they refuse: if no answer comes, WireGuard
// begins a handshake after 15 s (whitepaper, section 6.5).
func (k *Kernel) greetKernels(steps []tunnel.Step) []error {
	errs := doPeers(steps, greetPeer)
	for _, s := range steps {
		k.disturb(s.(tunnel.GreetPeer).Peer.Allowed)
	}
	return errs
}

// greetPeer switches the keepalive on, which makes WireGuard send one at once
// and so begin a handshake, and then sets it to what it should be.
func greetPeer(s tunnel.GreetPeer) (link string, all []wgtypes.PeerConfig) {
	for _, keepalive := range []time.Duration{0, time.Minute, s.Peer.Keepalive} {
		all = append(all, wgtypes.PeerConfig{
			PublicKey: wgtypes.Key(s.Peer.PublicKey), UpdateOnly: true, PersistentKeepaliveInterval: &keepalive})
	}
	return s.Link, all
}

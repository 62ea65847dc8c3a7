package linux

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/userspace"
)

// wgctrl takes a dozen allocations for each line that a UAPI device says: with
// thousands of peers, more than all else of a look.

var errUAPI = errors.New("its answer makes no sense")

// readUAPI asks the process that serves a link's UAPI socket what its WireGuard
// knows (https://www.wireguard.com/xplatform): of about as many peers as is said.
func readUAPI(link string, about int) (d tunnel.Device, err error) {
	c, err := net.Dial("unix", userspace.Socket(link))
	if err != nil {
		return d, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(deviceTimeout)); err != nil {
		return d, err
	}
	if _, err := io.WriteString(c, "get=1\n\n"); err != nil {
		return d, err
	}
	return parseUAPI(c, about)
}

// parseUAPI reads a device's answer, to its end. Errors quote none of it: it has keys.
func parseUAPI(r io.Reader, about int) (d tunnel.Device, err error) {
	p := uapiParser{device: tunnel.Device{Peers: make([]tunnel.DevicePeer, 0, about)}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 0)
	for lines.Scan() {
		key, value, ok := bytes.Cut(lines.Bytes(), []byte("="))
		if string(key) == "errno" {
			switch n, err := strconv.ParseInt(string(value), 10, 32); {
			case err != nil:
				return d, errUAPI
			case n != 0:
				return d, syscall.Errno(max(n, -n))
			}
			return p.device, nil
		}
		if p.take(string(key), value); !ok || p.err != nil {
			return d, errUAPI
		}
	}
	if err := lines.Err(); err != nil {
		return d, err
	}
	return d, io.ErrUnexpectedEOF
}

// An uapiParser takes down what a device says. Err is that something made no sense.
type uapiParser struct {
	device  tunnel.Device
	seconds int64 // of the handshake whose nanoseconds come next
	err     error
}

func (p *uapiParser) take(key string, value []byte) {
	switch key {
	case "private_key":
		p.device.PrivateKey = peers.PrivateKeyFrom(p.key(value))
		return
	case "listen_port":
		p.device.ListenPort = uint16(p.number(value, 16))
		return
	case "public_key":
		p.device.Peers = append(p.device.Peers, tunnel.DevicePeer{PublicKey: p.key(value)})
		return
	}
	if n := len(p.device.Peers); n > 0 {
		p.takeOf(&p.device.Peers[n-1], key, value)
	}
}

// takeOf is take for what is said of a peer.
func (p *uapiParser) takeOf(peer *tunnel.DevicePeer, key string, value []byte) {
	switch key {
	case "preshared_key":
		peer.PresharedKey = peers.PresharedKeyFrom(p.key(value))
	case "endpoint":
		a, err := netip.ParseAddrPort(string(value))
		p.note(err)
		peer.Endpoint = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	case "last_handshake_time_sec":
		p.seconds = p.number(value, 40)
	case "last_handshake_time_nsec":
		if n := p.number(value, 30); p.seconds > 0 {
			peer.LastHandshake = time.Unix(p.seconds, n)
		}
	case "tx_bytes":
		peer.Sent = p.number(value, 63)
	case "rx_bytes":
		peer.Received = p.number(value, 63)
	case "persistent_keepalive_interval":
		peer.Keepalive = time.Duration(p.number(value, 16)) * time.Second
	case "allowed_ip":
		a, err := netip.ParsePrefix(string(value))
		p.note(err)
		peer.Allowed = append(peer.Allowed, allowed(a))
	}
}

func (p *uapiParser) note(err error) {
	if err != nil {
		p.err = err
	}
}

func (p *uapiParser) key(value []byte) (key [32]byte) {
	if len(value) != hex.EncodedLen(len(key)) {
		p.err = errUAPI
		return key
	}
	_, err := hex.Decode(key[:], value)
	p.note(err)
	return key
}

// number reads one that is not negative, and has so many bits at most.
func (p *uapiParser) number(value []byte, bits int) int64 {
	n, err := strconv.ParseUint(string(value), 10, bits)
	p.note(err)
	return int64(n)
}

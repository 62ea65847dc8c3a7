package linux

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/userspace"
)

// hexOf is a key of one byte many times, as UAPI writes it.
func hexOf(b byte) string { return hex.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

// twoPeers is what a device of two peers says, without the end.
func twoPeers() string {
	return "private_key=" + hexOf(0x48) + "\nlisten_port=51825\nfwmark=1\n" +
		"public_key=" + hexOf(2) + "\npreshared_key=" + hexOf(0) + "\nprotocol_version=1\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\n" +
		"tx_bytes=0\nrx_bytes=0\npersistent_keepalive_interval=0\n" +
		"public_key=" + hexOf(1) + "\npreshared_key=" + hexOf(7) + "\nendpoint=[::ffff:192.0.2.1]:51825\nlast_handshake_time_sec=1700000000\n" +
		"last_handshake_time_nsec=5\ntx_bytes=9000000000\nrx_bytes=6\npersistent_keepalive_interval=25\nnews=1\n" +
		"allowed_ip=2001:db8::1/128\nallowed_ip=192.0.2.1/32\nallowed_ip=10.0.0.0/8\n"
}

// twoPeersRead is what that means, in order.
func twoPeersRead() tunnel.Device {
	key := func(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }
	return tunnel.Device{PrivateKey: peers.PrivateKeyFrom(key(0x48)), ListenPort: 51825, Peers: []tunnel.DevicePeer{
		{PublicKey: key(1), PresharedKey: peers.PresharedKeyFrom(key(7)), Endpoint: netip.MustParseAddrPort("192.0.2.1:51825"),
			Allowed:   []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
			Keepalive: 25 * time.Second, LastHandshake: time.Unix(1700000000, 5), Received: 6, Sent: 9000000000},
		{PublicKey: key(2)},
	}}
}

var deviceOpts = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, peers.PrivateKey{}, peers.PresharedKey{}), cmpopts.EquateEmpty()}

// answering serves the socket of a link that is not there; answer says what to do
// with who asks.
func answering(t *testing.T, answer func(net.Conn)) (link string) {
	t.Helper()
	link = "uapitest"
	path := userspace.Socket(link)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		if os.Getenv("POSTROAD_TEST_ROOT") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c)
			c.Close()
		}
	}()
	return link
}

func TestUAPIIsRead(t *testing.T) {
	link := answering(t, func(c net.Conn) {
		asked := make([]byte, 7)
		if _, err := io.ReadFull(c, asked); err == nil && string(asked) == "get=1\n\n" {
			_, _ = io.WriteString(c, twoPeers()+"errno=0\n\n")
		}
	})
	for _, about := range []int{0, 1, 5} {
		got, ok, err := observeDevice(link, about)
		if diff := cmp.Diff(twoPeersRead(), got, deviceOpts); !ok || err != nil || diff != "" {
			t.Errorf("%v, %v (-want +got):\n%s", ok, err, diff)
		}
	}
}

// A device whose answer is cut off, or makes no sense, has not answered: what would
// be missing of it would be set again, and take sessions away.
func TestUAPIAnswersThatAreNone(t *testing.T) {
	for name, tt := range map[string]struct {
		says string
		want error
	}{
		"nothing":           {"", io.ErrUnexpectedEOF},
		"cut off":           {twoPeers(), io.ErrUnexpectedEOF},
		"cut off in a line": {twoPeers() + "allowed_ip=1", errUAPI},
		"an error":          {"errno=-22\n\n", syscall.EINVAL},
		"an error at last":  {twoPeers() + "errno=-5\n\n", syscall.EIO},
		"no line":           {"private_key\nerrno=0\n\n", errUAPI},
		"short key":         {"public_key=" + hexOf(1)[2:] + "\nerrno=0\n\n", errUAPI},
		"no key":            {"public_key=" + strings.Repeat("x", 64) + "\nerrno=0\n\n", errUAPI},
		"no number":         {"listen_port=x\nerrno=0\n\n", errUAPI},
		"no port":           {"listen_port=65536\nerrno=0\n\n", errUAPI},
		"no interval":       {twoPeers() + "persistent_keepalive_interval=9223372037\nerrno=0\n\n", errUAPI},
		"negative":          {twoPeers() + "tx_bytes=-1\nerrno=0\n\n", errUAPI},
		"a positive error":  {"errno=5\n\n", syscall.EIO},
		"no address":        {twoPeers() + "allowed_ip=1.2.3/32\nerrno=0\n\n", errUAPI},
		"no endpoint":       {twoPeers() + "endpoint=1.2.3.4\nerrno=0\n\n", errUAPI},
		"no errno":          {"errno=x\n\n", errUAPI},
	} {
		d, err := parseUAPI(strings.NewReader(tt.says), 0)
		if !errors.Is(err, tt.want) || len(d.Peers) > 0 {
			t.Errorf("%s: %d peers, %v, want %v", name, len(d.Peers), err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "484848") {
			t.Errorf("%s: a key is in %v", name, err)
		}
	}
}

// Where nobody serves a socket, or one is left behind, there is no device.
func TestUAPIWithoutDevice(t *testing.T) {
	answering(t, func(net.Conn) {}) // makes the folder
	left := userspace.Socket("uapileft")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	t.Cleanup(func() { os.Remove(left) })
	for _, link := range []string{"uapinone", "uapileft"} {
		if _, ok, err := observeDevice(link, 0); ok || err != nil {
			t.Errorf("%s: %v, %v", link, ok, err)
		}
	}
}

// uapiText says what UAPI says of a device.
func uapiText(d tunnel.Device) string {
	var b strings.Builder
	private := d.PrivateKey.Bytes()
	fmt.Fprintf(&b, "private_key=%x\nlisten_port=%d\n", private[:], d.ListenPort)
	for _, p := range d.Peers {
		psk := p.PresharedKey.Bytes()
		fmt.Fprintf(&b, "public_key=%x\npreshared_key=%x\ntx_bytes=%d\nrx_bytes=%d\npersistent_keepalive_interval=%d\n",
			p.PublicKey[:], psk[:], p.Sent, p.Received, p.Keepalive/time.Second)
		if p.Endpoint.IsValid() {
			fmt.Fprintf(&b, "endpoint=%s\n", p.Endpoint)
		}
		if !p.LastHandshake.IsZero() {
			fmt.Fprintf(&b, "last_handshake_time_sec=%d\nlast_handshake_time_nsec=%d\n", p.LastHandshake.Unix(), p.LastHandshake.Nanosecond())
		}
		for _, a := range p.Allowed {
			wide := netip.MustParsePrefix("10.0.0.0/8")
			if a.IsValid() {
				wide = netip.PrefixFrom(a, a.BitLen())
			}
			fmt.Fprintf(&b, "allowed_ip=%s\n", wide)
		}
	}
	return b.String() + "errno=0\n\n"
}

// Whatever serves the socket says, it is an error that quotes none of it, or a
// device that reads the same when it says that again.
func FuzzParseUAPI(f *testing.F) {
	for _, text := range []string{
		twoPeers() + "errno=0\n\n", twoPeers(), "errno=0\n\n", "errno=-9223372036854775808\n", "listen_port=65536\nerrno=0\n", "listen_port=-1\nerrno=0\n", uapiText(twoPeersRead()),
		"public_key=" + hexOf(1) + "\npersistent_keepalive_interval=9223372037\nerrno=0\n", "public_key=" + hexOf(1) + "\nendpoint=[fe80::1%x]:1\nallowed_ip=::/0\nerrno=0\n",
		"private_key=" + hexOf(0x48)[:20] + "\nerrno=0\n", "\n\n", "=\nerrno=0\n", "errno=22\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, says string) {
		d, err := parseUAPI(strings.NewReader(says), 1)
		if err != nil {
			if len(d.Peers) > 0 || !d.PrivateKey.IsZero() || !errors.Is(err, errUAPI) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, bufio.ErrTooLong) && !errors.As(err, new(syscall.Errno)) {
				t.Errorf("%q: %+v, %v", says, d, err)
			}
			return
		}
		for _, p := range d.Peers {
			if p.Keepalive < 0 || p.Sent < 0 || p.Received < 0 || !p.LastHandshake.IsZero() && p.LastHandshake.Unix() <= 0 {
				t.Errorf("%q: %+v", says, p)
			}
		}
		again, err := parseUAPI(strings.NewReader(uapiText(d)), 1)
		if diff := cmp.Diff(d, again, deviceOpts); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", says, err, diff)
		}
	})
}

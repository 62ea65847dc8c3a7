package userspace

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"
)

// A wiretap is a bind that keeps what is sent.
type wiretap struct {
	sent   chan []byte
	closed chan struct{}
}

func (w *wiretap) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	w.closed = make(chan struct{})
	closed := w.closed
	return []conn.ReceiveFunc{func([][]byte, []int, []conn.Endpoint) (int, error) {
		<-closed
		return 0, net.ErrClosed // any other error the device would wait for to pass
	}}, port, nil
}

func (w *wiretap) Close() error {
	if w.closed != nil {
		close(w.closed)
		w.closed = nil
	}
	return nil
}
func (*wiretap) SetMark(uint32) error { return nil }
func (*wiretap) BatchSize() int       { return 1 }
func (w *wiretap) Send(packets [][]byte, _ conn.Endpoint) error {
	for _, p := range packets {
		w.sent <- append([]byte(nil), p...)
	}
	return nil
}
func (*wiretap) ParseEndpoint(s string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(s)
	return &conn.StdNetEndpoint{AddrPort: a}, err
}

// initiation has a real WireGuard call, and returns what it says.
func initiation(t testing.TB, from *ecdh.PrivateKey, to *ecdh.PublicKey) []byte {
	t.Helper()
	tap := &wiretap{sent: make(chan []byte, 10)}
	d := device.NewDevice(tuntest.NewChannelTUN().TUN(), tap, device.NewLogger(device.LogLevelSilent, ""))
	defer d.Close()
	err := d.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=192.0.2.1:51825\npersistent_keepalive_interval=1\n",
		hex.EncodeToString(from.Bytes()), hex.EncodeToString(to.Bytes())))
	if err == nil {
		err = d.Up()
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case message := <-tap.sent:
		return message
	case <-time.After(10 * time.Second):
		t.Fatal("WireGuard does not call")
		return nil
	}
}

func newKey(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestInitiationTellsWhoCallsWhomAndWhen(t *testing.T) {
	caller, called, other := newKey(t), newKey(t), newKey(t)
	before := time.Now().Add(-time.Second)
	message := initiation(t, caller, called.PublicKey())
	if !For([32]byte(called.PublicKey().Bytes()), message) || For([32]byte(other.PublicKey().Bytes()), message) {
		t.Error("it is taken to be for somebody else")
	}
	i, err := Open([32]byte(called.Bytes()), message)
	if err != nil || i.Sender != [32]byte(caller.PublicKey().Bytes()) {
		t.Errorf("opened: %x, %v", i.Sender, err)
	}
	if i.Time.Before(before) || i.Time.After(time.Now().Add(time.Second)) {
		t.Errorf("made at %s", i.Time)
	}
	if i, err := Open([32]byte(other.Bytes()), message); err == nil || i != (Initiation{}) {
		t.Errorf("opened with another's key: %v", i)
	}
}

func TestDamagedInitiationDoesNotOpen(t *testing.T) {
	caller, called := newKey(t), newKey(t)
	message := initiation(t, caller, called.PublicKey())
	for at := ephemeralAt; at < macsAt; at++ {
		bad := append([]byte(nil), message...)
		bad[at] ^= 1
		// Of the ephemeral key's last byte X25519 ignores the highest bit, not this one.
		if _, err := Open([32]byte(called.Bytes()), bad); err == nil {
			t.Fatalf("opens with byte %d changed", at)
		}
	}
	for _, size := range []int{0, 1, 147, 149} {
		bad := []byte(strings.Repeat("x", size))
		if _, err := Open([32]byte(called.Bytes()), bad); err == nil || For([32]byte{}, bad) {
			t.Errorf("%d bytes are taken for an initiation", size)
		}
	}
}

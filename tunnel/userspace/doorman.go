package userspace

import (
	"bytes"
	"encoding/binary"
	"time"

	"golang.zx2c4.com/wireguard/device"
)

// An arrival is the first message of a handshake.
type arrival struct {
	message  []byte
	from     *endpoint
	receiver *receiver
}

// takes says whether a packet has to wait until it is known whose it is, where
// there are guests: it comes back to the receiver then. In a flood it may be lost.
func (r *roster) takes(packet []byte, receiver *receiver) bool {
	if r == nil || r.away.n.Load() == 0 || len(packet) != device.MessageInitiationSize ||
		binary.LittleEndian.Uint32(packet) != device.MessageInitiationType {
		return false
	}
	select {
	case r.door <- arrival{bytes.Clone(packet), receiver.endpoint, receiver}:
	default:
	}
	return true
}

// receive brings in guests that begin a handshake, until the end.
func (r *roster) receive() {
	for {
		select {
		case <-r.done:
			return
		case a := <-r.door:
			if r.knows(a.message) {
				a.receiver.again(a)
			}
		}
	}
}

// knows says whether the first message of a handshake is from a peer, and newer
// than all before: who repeats what was sent before a guest was let go is not to
// be taken for it. If so, the device has the peer.
func (r *roster) knows(message []byte) bool {
	r.mu.Lock()
	key, meant := r.private, r.private != nil && r.checker.CheckMAC1(message)
	r.mu.Unlock()
	if !meant {
		return false
	}
	i, err := open(key, message) // without holding anybody up
	if err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.listed[i.Sender]
	if l == nil || key != r.private || bytes.Compare(i.stamp[:], l.newest[:]) <= 0 {
		return false
	}
	if r.load(l) != nil {
		return false
	}
	l.newest, l.visit.unasked, l.visit.active = i.stamp, false, time.Now()
	return true
}

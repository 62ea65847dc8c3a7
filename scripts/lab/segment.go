package lab

import (
	"context"
	"errors"
	"fmt"
)

// NewSegment boots the standard layout with bravo on alpha's Ethernet segment, as 192.0.2.20 and 2001:db8:a::20: the
// router bridges the wires to both, so that they find each other by ARP and neighbour discovery. What the two say to each
// other passes no router, so [Standard.Sealed] does not count it.
func NewSegment(ctx context.Context) (*Standard, error) {
	s, err := standardWith(ctx, "192.0.2.20", "2001:db8:a::20")
	if err != nil {
		return nil, err
	}
	if err := s.bridge(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// bridge makes one segment of the wires to alpha and bravo. A bridge would wait
// half a minute for loops, of which there are none.
func (s *Standard) bridge(ctx context.Context) error {
	script := "link add segment type bridge forward_delay 0 mcast_snooping 0\n"
	for _, port := range []string{s.Alpha.Link.RouterInterface, s.Bravo.Link.RouterInterface} {
		script += fmt.Sprintf("address flush dev %s\nlink set %s master segment\n", port, port)
	}
	script += "link set segment up\naddress add 192.0.2.1/24 dev segment\naddress add 2001:db8:a::1/64 dev segment nodad\n"
	if _, err := s.Router.run(ctx, script, "ip", "-batch", "-"); err != nil {
		return fmt.Errorf("bridging alpha and bravo: %w", err)
	}
	return nil
}

package linux

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// The guard remembers who calls: WireGuard tells nobody of a call that it does not
// take, and the kernel's not of any.
const (
	callersKept = 10 * time.Second // longer than looks at them are apart
	maxCallers  = 4096             // of a family: whoever makes up addresses takes no more memory than these
)

// Callers implements tunnel.System.
func (*Kernel) Callers(context.Context) (map[netip.Addr]time.Time, error) {
	c, err := newAsker(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer c.close()
	called := map[netip.Addr]time.Time{}
	for _, set := range []string{setCallers4, setCallers6} {
		now := time.Now() // before the look: rather called too early than after being let in
		elements, err := retry(func() ([]element, error) { return readElements(c, set, 0) })
		if err != nil {
			return nil, fmt.Errorf("reading who calls: %w", err)
		}
		for _, e := range elements {
			if a, ok := e.addr(); ok {
				called[a] = now.Add(e.expires - callersKept)
			}
		}
	}
	return called, nil
}

package lookup

import (
	"cmp"
	"context"

	"postroad/peers"
)

// Delivery looks up where a domain's mail goes, and where those hosts are.
func (c *Client) Delivery(ctx context.Context, domain string) (d peers.Delivery) {
	records, ttl, err := c.MX(ctx, domain)
	d.TTL, d.Err = ttl, err
	if len(records) > 0 { // with an error, too: that is about other records
		d.Err = nil
	}
	if d.Err == nil && len(records) == 0 {
		records = []MX{{Host: domain}} // RFC 5321, section 5.1
	}
	for _, mx := range records {
		switch {
		case mx.Host == "": // RFC 7505
		case len(d.Hosts) == peers.MaxExchangers:
			d.More++
		default:
			found := c.Addresses(ctx, mx.Host)
			d.TTL = min(cmp.Or(d.TTL, found.TTL), found.TTL)
			d.Hosts = append(d.Hosts, peers.NewExchanger(mx.Host, mx.Preference, found))
		}
	}
	return d
}

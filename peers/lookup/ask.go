package lookup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// What is spent on one server.
const (
	udpSize   = 1232 // bytes that an answer over UDP may have, which no path cuts up (DNS flag day 2020)
	readSize  = 4096 // bytes that are read, whatever was asked for
	maxStrays = 64   // datagrams that are no answer to the question, before the server is given up
	attempts  = 2    // rounds through the servers
)

var (
	errStrays = errors.New("its answers are to other questions")
	errLame   = errors.New("it refers elsewhere: it does not resolve for this host")
	errCut    = errors.New("its answer is cut, over TCP too")
)

// ask asks one server after the other until one answers.
func (c *Client) ask(ctx context.Context, servers []string, name string, kind uint16) answer {
	all := answer{ttl: minTTL}
	for range attempts {
		for _, server := range servers {
			a := c.askServer(ctx, server, name, kind)
			if a.err == nil || len(a.addrs)+len(a.mx) > 0 {
				return a
			}
			all.err = fmt.Errorf("DNS server %s: %w", server, a.err)
			if ctx.Err() != nil {
				return all
			}
		}
	}
	return all
}

// askServer asks over UDP, and where the answer does not fit, over TCP. What is
// cut is returned beside an error: it is true, and not all.
func (c *Client) askServer(ctx context.Context, server, name string, kind uint16) answer {
	q := new(dns.Msg)
	q.SetQuestion(rooted(name), kind)
	q.SetEdns0(udpSize, false)
	reply, err := c.exchange(ctx, "udp", server, q)
	if err == nil && reply.Rcode == dns.RcodeFormatError { // from before EDNS, RFC 6891 section 7
		q.Extra = nil
		reply, err = c.exchange(ctx, "udp", server, q)
	}
	if err != nil {
		return answer{err: err}
	}
	if !reply.Truncated {
		return read(reply, name, kind)
	}
	whole, err := c.exchange(ctx, "tcp", server, q)
	if err != nil {
		a := read(reply, name, kind)
		a.ttl, a.err = minTTL, fmt.Errorf("over TCP: %w", err)
		return a
	}
	a := read(whole, name, kind)
	if whole.Truncated {
		a.ttl, a.err = minTTL, errCut
	}
	return a
}

// exchange sends a question and returns the answer to it. A socket of its own,
// with a port of its own, makes answers hard to forge.
func (c *Client) exchange(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Patience)
	defer cancel()
	q.Id = dns.Id()
	var d net.Dialer
	plain, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: plain, UDPSize: readSize}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.WriteMsg(q); err != nil {
		return nil, err
	}
	for range maxStrays {
		reply, err := conn.ReadMsg()
		var broken net.Error
		switch {
		case errors.As(err, &broken), err != nil && network == "tcp":
			return nil, unanswered(ctx, err)
		case err == nil && answers(reply, q):
			return reply, nil
		}
	}
	return nil, errStrays
}

// unanswered gives an error in words that do not differ from time to time.
func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("no answer")
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err // without the port of the moment
	}
	return err
}

// answers says whether a message is the answer to a question, and not one that
// somebody has made up or that comes late (RFC 5452, section 9.1).
func answers(reply, q *dns.Msg) bool {
	return reply.Response && reply.Id == q.Id && reply.Opcode == dns.OpcodeQuery && len(reply.Question) == 1 &&
		reply.Question[0].Qtype == q.Question[0].Qtype && reply.Question[0].Qclass == q.Question[0].Qclass &&
		sameName(reply.Question[0].Name, q.Question[0].Name)
}

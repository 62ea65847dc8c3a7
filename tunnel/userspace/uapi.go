package userspace

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"
)

// handle answers requests that come through the UAPI socket
// (https://www.wireguard.com/xplatform), until who asks goes.
func (r *roster) handle(c net.Conn) {
	defer c.Close()
	lines := bufio.NewReader(c)
	for {
		operation, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		request, err := readRequest(lines)
		if err != nil {
			return
		}
		var answer []byte
		switch operation {
		case "get=1\n":
			answer, err = r.get()
		case "set=1\n":
			err = r.setText(request)
		default:
			return
		}
		if _, err := c.Write(fmt.Appendf(answer, "errno=%d\n\n", errno(err))); err != nil {
			return
		}
	}
}

// readRequest reads lines up to an empty one, or the end.
func readRequest(lines *bufio.Reader) (request []string, err error) {
	for {
		line, err := lines.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		if line != "" {
			request = append(request, line)
		}
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case err != nil, line == "":
			return request, nil
		}
	}
}

// errno is how the UAPI tells an error.
func errno(err error) int64 {
	var number unix.Errno
	var refusal *device.IPCError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &refusal):
		return refusal.ErrorCode()
	case errors.As(err, &number):
		return -int64(number)
	}
	return -int64(unix.EIO)
}

// A request is what is to be set.
type request struct {
	private *[32]byte
	device  []string // other lines about the device
	replace bool     // all peers
	peers   []change
}

// A change is what is to be set of a peer. Its fields are nil for what stays.
type change struct {
	key        [32]byte
	lines      []string // all that was said of it
	updateOnly bool
	remove     bool
	preshared  *[32]byte
	endpoint   *string
	keepalive  *uint16
	allowed    []allowedChange // in order
}

// An allowedChange adds a prefix to what is allowed, or removes it. The zero value
// removes all.
type allowedChange struct {
	prefix netip.Prefix
	remove bool
}

// parseRequest reads the lines of a request. Parse reads an endpoint.
func parseRequest(lines []string, parse func(string) (string, error)) (q request, err error) {
	for _, line := range lines {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case !ok:
			return q, unix.EPROTO
		case key == "public_key":
			var c change
			c.key, err = parseKey(value)
			q.peers = append(q.peers, c)
		case len(q.peers) == 0:
			err = q.take(key, value, line)
		default:
			err = q.peers[len(q.peers)-1].take(key, value, line, parse)
		}
		if err != nil {
			return q, unix.EINVAL
		}
	}
	return q, nil
}

func (q *request) take(key, value, line string) error {
	switch key {
	case "private_key":
		k, err := parseKey(value)
		q.private = &k
		return err
	case "replace_peers":
		q.replace = true
		return isTrue(value)
	}
	q.device = append(q.device, line)
	return nil
}

func (c *change) take(key, value, line string, parse func(string) (string, error)) (err error) {
	c.lines = append(c.lines, line)
	switch key {
	case "update_only":
		c.updateOnly = true
		return isTrue(value)
	case "remove":
		c.remove = true
		return isTrue(value)
	case "replace_allowed_ips":
		c.allowed = append(c.allowed, allowedChange{})
		return isTrue(value)
	case "preshared_key":
		k, err := parseKey(value)
		c.preshared = &k
		return err
	case "endpoint":
		e, err := parse(value)
		c.endpoint = &e
		return err
	case "persistent_keepalive_interval":
		seconds, err := strconv.ParseUint(value, 10, 16)
		c.keepalive = new(uint16(seconds))
		return err
	case "allowed_ip":
		value, remove := strings.CutPrefix(value, "-")
		p, err := netip.ParsePrefix(value)
		c.allowed = append(c.allowed, allowedChange{p.Masked(), remove})
		return err
	case "protocol_version":
		if value == "1" {
			return nil
		}
	}
	return unix.EINVAL
}

func isTrue(value string) error {
	if value != "true" {
		return unix.EINVAL
	}
	return nil
}

func parseKey(value string) (key [32]byte, err error) {
	if len(value) != hex.EncodedLen(len(key)) {
		return key, unix.EINVAL
	}
	_, err = hex.Decode(key[:], []byte(value))
	return key, err
}

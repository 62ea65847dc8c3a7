package lab

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Capture is a running tcpdump(1).
type Capture struct {
	*Proc
	host *Host
	file string
}

// Capture records the packets on an interface that match a filter, as in pcap-filter(7); an empty one is every packet.
func (h *Host) Capture(ctx context.Context, iface, filter string) (*Capture, error) {
	file := fmt.Sprintf("/var/log/lab/%s.%d.pcap", iface, time.Now().UnixNano())
	proc, err := h.Start("tcpdump", "-n", "-i", iface, "-U", "--immediate-mode", "-s", "2048", "-B", "32768",
		"-Z", "root", "-w", file, filter)
	if err != nil {
		return nil, err
	}
	c := &Capture{Proc: proc, host: h, file: file}
	return c, c.Until(ctx, 10*time.Second, "tcpdump", func() error {
		if !strings.Contains(c.Output(), "listening on") {
			return errors.New("it is not listening")
		}
		return nil
	})
}

var counted = regexp.MustCompile(`(?m)^(\d+) packets?$`)

// Count counts the captured packets that match a further filter.
func (c *Capture) Count(ctx context.Context, filter string) (int, error) {
	out, err := c.host.Run(ctx, "tcpdump", "-n", "-r", c.file, "--count", filter)
	if err != nil {
		return 0, err
	}
	m := counted.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("counting packets: tcpdump says %q", out)
	}
	return strconv.Atoi(m[1])
}

// Lines tells the first n packets in tcpdump's words.
func (c *Capture) Lines(ctx context.Context, n int) ([]string, error) {
	out, err := c.host.Run(ctx, "tcpdump", "-n", "-r", c.file, "-c", strconv.Itoa(n))
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' }), err
}

var dropped = regexp.MustCompile(`(?m)^(\d+) packets? dropped by kernel`)

// Stop ends the capture. It is an error if it had ended before, or if it missed a packet.
func (c *Capture) Stop(ctx context.Context) error {
	err := c.alive()
	if err == nil {
		err = c.Proc.Stop(ctx, unix.SIGINT)
	}
	if err != nil {
		return fmt.Errorf("ending the capture: %w", err)
	}
	m := dropped.FindStringSubmatch(c.Output())
	if m == nil || m[1] != "0" {
		return fmt.Errorf("ending the capture: packets were missed: %s", c.Output())
	}
	return nil
}

// LargestGap is the longest time between two captured packets in a row.
func (c *Capture) LargestGap(ctx context.Context) (gap time.Duration, err error) {
	out, err := c.host.Run(ctx, "tcpdump", "-n", "-q", "-tt", "-r", c.file)
	if err != nil {
		return 0, err
	}
	last := -1.0
	for line := range strings.Lines(out) {
		stamp, _, _ := strings.Cut(line, " ")
		at, err := strconv.ParseFloat(stamp, 64) // seconds
		if err != nil {
			return 0, fmt.Errorf("reading a packet's time: %w", err)
		}
		if last >= 0 {
			gap = max(gap, time.Duration((at-last)*float64(time.Second)))
		}
		last = at
	}
	if last < 0 {
		return 0, errors.New("looking for gaps between packets: there are none")
	}
	return gap, nil
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Watch looks for clear SMTP between mail hosts, on the router's wire to each. A packet that crosses two wires counts
// twice.
type Watch struct {
	lab      *Standard
	sites    []*Site
	port     int
	captures []*Capture // towards each site
}

// WatchClear begins to look between alpha and bravo, at SMTP's ports unless others are given.
func (s *Standard) WatchClear(ctx context.Context, ports ...int) (*Watch, error) {
	return s.WatchBetween(ctx, []*Site{s.Alpha, s.Bravo}, ports...)
}

// WatchBetween is [Standard.WatchClear] between any two of some sites, but for charlie.
func (s *Standard) WatchBetween(ctx context.Context, sites []*Site, ports ...int) (*Watch, error) {
	if len(ports) == 0 {
		ports = []int{25, 465, 587}
	}
	filter := fmt.Sprintf("tcp and (%s) and (%s or host %s)", anyPort(ports), between(sites), canary)
	w := &Watch{lab: s, sites: sites, port: ports[0]}
	for _, site := range sites {
		c, err := site.Link.Router.Capture(ctx, site.Link.RouterInterface, filter)
		if err != nil {
			return nil, fmt.Errorf("watching for clear mail: %w", err)
		}
		w.captures = append(w.captures, c)
	}
	return w, nil
}

func anyPort(ports []int) string {
	var terms []string
	for _, p := range ports {
		terms = append(terms, fmt.Sprintf("port %d", p))
	}
	return strings.Join(terms, " or ")
}

// between matches packets between any two of the sites, and no others.
func between(sites []*Site) string {
	var terms []string
	for i, a := range sites {
		for _, b := range sites[:i] {
			terms = append(terms, fmt.Sprintf("(host %s and host %s) or (host %s and host %s)", a.IPv4, b.IPv4, a.IPv6, b.IPv6))
		}
	}
	return strings.Join(terms, " or ")
}

// Clear counts the clear packets seen so far.
func (w *Watch) Clear(ctx context.Context) (int, error) {
	var sum int
	for _, c := range w.captures {
		n, err := c.Count(ctx, between(w.sites))
		if err != nil {
			return 0, fmt.Errorf("looking for clear mail: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// Finish ends the watch and counts the clear packets. Before it ends, charlie sends a clear SYN over each watched wire:
// unless all are captured, and unless the kernel says that nothing was dropped, the count proves nothing and is an error.
func (w *Watch) Finish(ctx context.Context) (int, error) {
	var errs []error
	for i, site := range w.sites {
		errs = append(errs, w.canary(ctx, site, w.captures[i]))
	}
	for _, c := range w.captures {
		errs = append(errs, c.Stop(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("proving that the watch saw everything: %w", err)
	}
	return w.Clear(ctx)
}

// canary sends the SYN until it is captured. Whether it is answered does not matter.
func (w *Watch) canary(ctx context.Context, to *Site, c *Capture) error {
	return c.Until(ctx, 5*time.Second, "the canary to "+to.Name, func() error {
		_, refused := w.lab.Charlie.Run(ctx, "nc", "-n", "-z", "-w", "1", "-s", canary, to.IPv4.String(), fmt.Sprint(w.port))
		n, err := c.Count(ctx, "src host "+canary)
		if err == nil && n == 0 {
			err = fmt.Errorf("it was not captured (%v)", refused)
		}
		return err
	})
}

// Tell tells the first clear packets of each wire in tcpdump's words.
func (w *Watch) Tell(ctx context.Context, n int) string {
	var all []string
	for _, c := range w.captures {
		lines, err := c.Lines(ctx, n)
		if err != nil {
			lines = append(lines, err.Error())
		}
		all = append(all, lines...)
	}
	return strings.Join(all, "\n")
}

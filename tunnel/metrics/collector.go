// Package metrics tells Prometheus how mail is protected.
package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postroad/tunnel"
)

const (
	patience  = 5 * time.Second // how long a daemon may take to answer
	freshness = time.Second     // how long an answer serves: whoever asks often must not keep the loop from its work
)

// A Source is a daemon, as far as metrics need it: see [tunnel.Loop.Report].
type Source interface {
	Report(ctx context.Context) (tunnel.Report, error)
}

// A collector asks its source once a scrape, if at all.
type collector struct {
	source Source

	mu     sync.Mutex
	report tunnel.Report
	err    error
	taken  time.Time
}

var _ prometheus.Collector = (*collector)(nil)

// Describe implements [prometheus.Collector].
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range all {
		descs <- d
	}
}

// Collect implements [prometheus.Collector]. Without an answer there is up, and
// what does not depend on it.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	r, err := c.ask()
	s := sink(metrics)
	s.gauge(up, number(err == nil))
	if r.Problems == nil { // no answer at all
		return
	}
	s.loop(r)
	for _, d := range r.Status.Domains {
		s.domain(d)
	}
	if err != nil {
		return
	}
	s.gauge(linkInfo, 1, r.Status.Link, string(r.Status.Backend))
	for _, p := range r.Status.Peers {
		s.peer(p)
		if r.Status.Uncounted == "" {
			s.gauge(peerSMTP, float64(p.Connections), p.Name)
		}
	}
}

// ask returns an answer that is fresh enough. One at a time: others wait and
// share it.
func (c *collector) ask() (tunnel.Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken.IsZero() || time.Since(c.taken) >= freshness {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c.report, c.err = c.source.Report(ctx)
		c.taken = time.Now()
	}
	return c.report, c.err
}

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postroad/peers"
	"postroad/tunnel"
)

// A sink takes the metrics of one scrape.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) counter(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

// moment is a gauge of a point in time. None at all is better than 1970, which
// would be an age of half a century.
func (s sink) moment(d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		s.gauge(d, float64(t.UnixMilli())/1000, labels...)
	}
}

// loop tells what the daemon knows without a look at the kernel.
func (s sink) loop(r tunnel.Report) {
	s.gauge(fileInForce, number(r.Status.File.InForce))
	s.moment(fileLoaded, r.Status.File.Loaded)
	c := r.Counters
	s.counter(passes, float64(c.Passes))
	s.counter(failedPasses, float64(c.FailedPasses))
	s.counter(passSeconds, c.PassTime.Seconds())
	s.moment(lastPass, c.LastPass)
	for _, k := range tunnel.StepKinds {
		s.counter(changes, float64(c.Changes[k]), string(k))
		s.counter(repairs, float64(c.Repairs[k]), string(k))
	}
	for what, is := range r.Problems {
		s.gauge(problem, number(is), what)
	}
}

func (s sink) peer(p tunnel.PeerStatus) {
	s.gauge(peerInfo, 1, p.Name, string(p.Policy))
	for _, state := range tunnel.PeerStates {
		s.gauge(peerState, number(p.State == state), p.Name, string(state))
	}
	s.moment(peerSince, p.Since, p.Name)
	s.moment(peerHandshake, p.LastHandshake, p.Name)
	s.counter(peerReceived, float64(p.Received), p.Name)
	s.counter(peerSent, float64(p.Sent), p.Name)
	s.counter(peerRefused, float64(p.RefusedIn), p.Name, "in")
	s.counter(peerRefused, float64(p.RefusedOut), p.Name, "out")
	s.gauge(peerResolved, number(p.Endpoint.IsValid()), p.Name)
	s.gauge(peerByPolicy, number(p.ByPolicy), p.Name)
	s.counter(peerClear, p.ClearSeconds, p.Name)
	if p.MTU != 0 {
		s.gauge(peerMTU, float64(p.MTU), p.Name)
	}
	s.moment(peerMeasured, p.MTUMeasured, p.Name)
	if len(p.Names) > 0 || len(p.DNS) > 0 {
		s.remarks(p)
	}
	s.gauge(peerAddresses, float64(len(p.Addresses)), p.Name)
}

// remarks counts those of each kind, so that one that is gone is seen to be.
func (s sink) remarks(p tunnel.PeerStatus) {
	n := map[peers.RemarkKind]int{}
	for _, r := range p.DNS {
		n[r.Kind]++
	}
	for _, kind := range peers.NameRemarks {
		s.gauge(peerRemarks, float64(n[kind]), p.Name, string(kind))
	}
}

func (s sink) domain(d tunnel.DomainStatus) {
	s.gauge(domainOpen, float64(len(d.Open)), d.Domain)
	s.gauge(domainFirst, number(d.First()), d.Domain)
	s.gauge(domainFailing, number(d.Error != ""), d.Domain)
	s.moment(domainLooked, d.Looked, d.Domain)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

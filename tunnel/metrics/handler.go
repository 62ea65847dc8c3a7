package metrics

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// inFlight is how many scrapes are answered at a time.
const inFlight = 4

// New returns the metrics of a daemon of the given version, and of its process.
func New(version string, source Source) prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{source: source}, buildInfo(version),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func buildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "postroad_build_info",
		Help:        "The version of postroad and of the Go it was built with. Always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}

// Handler answers GET /metrics, and nothing else.
func Handler(g prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{MaxRequestsInFlight: inFlight}))
	return mux
}

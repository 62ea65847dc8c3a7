package main

import "fmt"

// A metric is something measured, by the name that it has in [Figures].
type metric struct {
	name  string
	title string  // of its column
	unit  string  // in the progress
	scale float64 // printed for 1

	optional bool // not all contenders have a figure: those without processes of their own none about them
}

// The metrics' names; times in seconds but where they say something else.
const (
	perSecond     = "messages_per_second"
	gbitPerSecond = "gbit_per_second"
	connectTime   = "connect_us"
	greetingTime  = "greeting_us"
	responseTime  = "response_us"
	processorTime = "processor_seconds" // of everything on the machine, for each message or GB
	daemonTime    = "daemon_seconds"    // of it, the contender's processes'
	idleMemory    = "idle_mb"           // resident, of the host where it is more
	peakMemory    = "peak_mb"           // the same, the most while a workload runs
)

var (
	mailMetrics = []metric{
		{perSecond, "messages/s", "/s", 1, false},
		{processorTime, "CPU ms/message", "ms CPU/message", 1e3, false},
		{daemonTime, "daemons' CPU", "ms of it the daemons'", 1e3, true},
		memoryMetric,
	}
	bulkMetrics = []metric{
		{gbitPerSecond, "Gbit/s", "Gbit/s", 1, false},
		{processorTime, "CPU s/GB", "s CPU/GB", 1, false},
		{daemonTime, "daemons' CPU", "s of it the daemons'", 1, true},
		memoryMetric,
	}
	connectMetrics = []metric{
		{connectTime, "connected µs", "µs", 1, true},
		{greetingTime, "greeted µs", "µs to the greeting", 1, false},
		memoryMetric,
	}
	latencyMetrics = []metric{{responseTime, "response µs", "µs", 1, false}, memoryMetric}
	memoryMetric   = metric{peakMemory, "peak MB", "MB", 1, true}
	idleMetrics    = []metric{{idleMemory, "idle MB", "MB", 1, true}}
)

// metricsOf are the metrics of a workload.
func metricsOf(workload string) []metric {
	for _, w := range workloads {
		if w.name == workload {
			return w.metrics
		}
	}
	return idleMetrics
}

// format prints a value with three digits, or as many as it has before the point.
func (m metric) format(v float64) string {
	v *= m.scale
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A workload is something to carry.
type workload struct {
	name    string
	title   string
	metrics []metric
	run     func(ctx context.Context, t *trial, length time.Duration) (*work, error)
}

// work is what a workload did.
type work struct {
	figures Figures // what it measured itself
	units   float64 // done: messages or GB; 0: what the processor did for each is not told
	bytes   float64 // at least so many must have crossed the wire
}

// idle is the name that samples have which are of no workload: a contender that is up and carries nothing.
const idle = "idle"

// sessions is how many connections carry mail at a time.
const sessions = 20

var workloads = []workload{
	{"mail4k", "4 KiB messages, a new connection each, 20 sessions", mailMetrics, mail(4<<10, false)},
	{"mail4k-kept", "4 KiB messages, connections kept, 20 sessions", mailMetrics, mail(4<<10, true)},
	{"mail1m", "1 MiB messages, a new connection each, 20 sessions", mailMetrics, mail(1<<20, false)},
	{"connect", "TCP connect, one after the other", connectMetrics, connect},
	{"latency", "request and response of 64 bytes on one connection", latencyMetrics, latency},
	{"bulk1", "iperf3, 1 stream", bulkMetrics, bulk(1)},
	{"bulk8", "iperf3, 8 streams", bulkMetrics, bulk(8)},
}

// mail sends messages of some size, each on a connection of its own or many on kept ones.
func mail(size int, kept bool) func(context.Context, *trial, time.Duration) (*work, error) {
	return func(ctx context.Context, t *trial, length time.Duration) (*work, error) {
		args := []string{"-4", "-s", strconv.Itoa(sessions), "-l", strconv.Itoa(size)}
		if kept {
			args = append(args, "-d")
		}
		send := func(messages int) (time.Duration, error) {
			begin := time.Now()
			err := t.Alpha.Source(ctx, append(args, "-m", strconv.Itoa(messages), t.address(mailPort))...)
			return time.Since(begin), err
		}
		messages, err := enough(send, length)
		if err != nil {
			return nil, err
		}
		t.begin()
		took, err := send(messages)
		if err != nil {
			return nil, err
		}
		return &work{
			figures: Figures{perSecond: float64(messages) / took.Seconds()},
			units:   float64(messages),
			bytes:   float64(messages) * float64(size),
		}, nil
	}
}

// enough finds out how many messages take the length to send, by sending more and more until it takes a quarter of that:
// the first ones are slower.
func enough(send func(messages int) (time.Duration, error), length time.Duration) (int, error) {
	for n := 2 * sessions; ; n *= 3 {
		took, err := send(n)
		if err != nil {
			return 0, err
		}
		if took >= length/4 {
			return max(sessions, int(float64(n)*float64(length)/float64(took))), nil
		}
	}
}

// connect opens connections, one after the other. That a contender takes them on their own host is no figure.
func connect(ctx context.Context, t *trial, length time.Duration) (*work, error) {
	return t.ask(ctx, "connect", length, func(l latencies) (Figures, float64) {
		f := Figures{greetingTime: l.Second}
		if !t.local {
			f[connectTime] = l.First
		}
		return f, float64(l.Count)
	})
}

// latency sends requests over one connection, each after the response to the one before.
func latency(ctx context.Context, t *trial, length time.Duration) (*work, error) {
	return t.ask(ctx, "exchange", length, func(l latencies) (Figures, float64) {
		return Figures{responseTime: l.First}, float64(l.Count) * requestSize
	})
}

// ask runs a command of [probe], and makes figures and a number of bytes of what it says.
func (t *trial) ask(ctx context.Context, command string, length time.Duration, read func(latencies) (Figures, float64)) (*work, error) {
	t.begin()
	out, err := t.probe(ctx, command, t.address(probePort), length.String())
	if err != nil {
		return nil, err
	}
	var l latencies
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		return nil, fmt.Errorf("reading what the probe says: %w", err)
	}
	if l.Count == 0 {
		return nil, errors.New("the probe got no answer")
	}
	figures, bytes := read(l)
	return &work{figures: figures, bytes: bytes}, nil
}

// bulk sends as much as it can over some TCP connections.
func bulk(streams int) func(context.Context, *trial, time.Duration) (*work, error) {
	return func(ctx context.Context, t *trial, length time.Duration) (*work, error) {
		seconds := max(1, int(length.Round(time.Second)/time.Second)) // iperf3 takes whole ones
		t.begin()
		out, err := t.Alpha.Run(ctx, "iperf3", "-J", "-c", t.target.String(), "-p", strconv.Itoa(bulkPort),
			"-t", strconv.Itoa(seconds), "-P", strconv.Itoa(streams))
		bits, bytes, parseErr := parseIperf([]byte(out))
		if err := errors.Join(parseErr, err); err != nil {
			return nil, err
		}
		return &work{figures: Figures{gbitPerSecond: bits / 1e9}, units: bytes / 1e9, bytes: bytes}, nil
	}
}

// parseIperf returns what iperf3's server received, from its JSON: bits a second and bytes.
func parseIperf(out []byte) (bits, bytes float64, err error) {
	var said struct {
		Error string
		End   struct {
			SumReceived struct {
				Bytes         float64
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return 0, 0, fmt.Errorf("reading what iperf3 says: %w", err)
	}
	r := said.End.SumReceived
	if said.Error != "" || r.Bytes <= 0 || r.BitsPerSecond <= 0 {
		return 0, 0, fmt.Errorf("iperf3 has carried nothing: %s", said.Error)
	}
	return r.BitsPerSecond, r.Bytes, nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// Resources are what a daemon holds. Of its memory, that is what Go lets the heap
// grow to before it collects garbage again: twice of what was in use at the last
// time. How much is resident depends on how much of it was ever touched.
type resources struct{ descriptors, goroutines, heapKB int }

func (h *host) resources(ctx context.Context) (r resources, err error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.Pid()))
	if err != nil {
		return r, err
	}
	r.descriptors = len(fds)
	text, err := h.Command(ctx, "metrics")
	if err != nil {
		return r, err
	}
	var heap float64 // bytes, in a float's notation
	for name, into := range map[string]any{"go_goroutines": &r.goroutines, "go_memstats_next_gc_bytes": &heap} {
		_, after, _ := strings.Cut(text, "\n"+name+" ")
		if _, err := fmt.Sscan(after, into); err != nil {
			return r, fmt.Errorf("the metrics say nothing of %s", name)
		}
	}
	r.heapKB = int(heap) >> 10
	return r, nil
}

// spare is how much more a daemon may hold at the end than at the start: what it
// measures and greets comes and goes.
var spare = resources{descriptors: 6, goroutines: 10, heapKB: 24 << 10}

// more says what there is more of than at the start.
func (r resources) more(begin resources) (all []string) {
	for _, kind := range []struct {
		what           string
		at, was, spare int
	}{
		{"descriptors", r.descriptors, begin.descriptors, spare.descriptors},
		{"goroutines", r.goroutines, begin.goroutines, spare.goroutines},
		{"kB of heap", r.heapKB, begin.heapKB, spare.heapKB},
	} {
		if kind.at > kind.was+kind.spare {
			all = append(all, fmt.Sprintf("%d %s, %d at the start", kind.at, kind.what, kind.was))
		}
	}
	return all
}

// leftovers says in what a host differs from one that has just started: there is
// nothing to change by the peers file, and the daemon knows of no problem.
func (h *host) leftovers(ctx context.Context) (all []string) {
	status, err := h.Status(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	if status.Problem != "" || !status.File.InForce {
		all = append(all, fmt.Sprintf("status: problem %q, file %+v", status.Problem, status.File))
	}
	for _, p := range status.Peers {
		if p.State != "protected" && p.State != "idle" { // which it is three minutes after the last mail
			all = append(all, fmt.Sprintf("%s is %s: %s", p.Name, p.State, p.Reason))
		}
	}
	plan, err := h.Command(ctx, "plan")
	if err != nil || !strings.Contains(strings.ToLower(plan), "nothing") {
		all = append(all, fmt.Sprintf("plan: %s (%v)", plan, err))
	}
	return all
}

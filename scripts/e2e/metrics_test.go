package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/scripts/lab"
)

const metricsKey = `metrics = "127.0.0.1:9525"`

// get returns the answer to an HTTP request to a TCP port of the host itself.
func get(ctx context.Context, h *lab.Host, method, path, port string) (string, error) {
	return h.Run(ctx, "sh", "-c", fmt.Sprintf(`printf '%s %s HTTP/1.0\r\n\r\n' | nc 127.0.0.1 %s`, method, path, port))
}

// tells waits until the daemon on alpha tells a sample.
func (r *road) tells(ctx context.Context, sample string) error {
	return lab.Eventually(ctx, 5*time.Second, sample, func() error {
		out, err := r.alpha.Command(ctx, "metrics")
		if err == nil && !strings.Contains(out, "\n"+sample) {
			err = errors.New("it tells " + out)
		}
		return err
	})
}

// value is that of one series that the daemon on alpha tells.
func (r *road) value(ctx context.Context, t *testing.T, series string) (n int) {
	t.Helper()
	out, err := r.alpha.Command(ctx, "metrics")
	must(t, err)
	_, rest, found := strings.Cut(out, "\n"+series+" ")
	if _, err := fmt.Sscan(rest, &n); err != nil || !found {
		t.Fatalf("%s: %v in %s", series, err, out)
	}
	return n
}

// listening counts the TCP ports on which a host listens.
func listening(ctx context.Context, t *testing.T, h *lab.Host) string {
	t.Helper()
	return run(ctx, t, h, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6 | grep -c ' 0A ' || true")
}

// rewrite changes alpha's [host] and reloads.
func (r *road) rewrite(ctx context.Context, t *testing.T, host string) error {
	t.Helper()
	must(t, r.alpha.Write("[host]\n"+host, r.bravo.Block()))
	_, err := r.alpha.Command(ctx, "reload")
	return err
}

// The address for metrics follows the file: nothing is open that it does not ask
// for, and nothing but metrics is to be had there.
func TestMetricsAddress(t *testing.T) {
	ctx, r := newRoad(t)
	if n := listening(ctx, t, r.Alpha.Host); n != "0" {
		t.Fatalf("%s TCP ports are open though no one has asked for any", n)
	}
	must(t, r.rewrite(ctx, t, metricsKey))
	out, err := get(ctx, r.Alpha.Host, "GET", "/metrics", "9525")
	must(t, err)
	if !strings.Contains(out, "\npostroad_up 1\n") || !strings.Contains(out, `postroad_peer_state{peer="`+r.Bravo.Name+`",state="protected"} 1`) {
		t.Errorf("says %s", out)
	}
	for _, request := range [][]string{{"GET", "/status"}, {"POST", "/reload"}, {"POST", "/down"}} {
		if out, err := get(ctx, r.Alpha.Host, request[0], request[1], "9525"); err != nil || !strings.Contains(out, "404 Not Found") {
			t.Errorf("%v: %s (%v)", request, out, err)
		}
	}
	must(t, r.rewrite(ctx, t, `metrics = "127.0.0.1:9526"`))
	if n := listening(ctx, t, r.Alpha.Host); n != "1" {
		t.Errorf("%s TCP ports are open, want 1", n)
	}
	if _, err := get(ctx, r.Alpha.Host, "GET", "/metrics", "9526"); err != nil {
		t.Error(err)
	}
	must(t, r.rewrite(ctx, t, ""))
	if n := listening(ctx, t, r.Alpha.Host); n != "0" {
		t.Errorf("%s TCP ports are still open", n)
	}
}

// A port that another program has is told, and stops neither protection nor the
// daemon; when it is free, metrics are to be had.
func TestMetricsAddressIsTaken(t *testing.T) {
	ctx, r := newRoad(t)
	other, err := r.Alpha.Start("nc", "-l", "-k", "127.0.0.1", "9525")
	must(t, err)
	must(t, lab.Eventually(ctx, 5*time.Second, "the other program", func() error {
		if n := listening(ctx, t, r.Alpha.Host); n != "1" {
			return errors.New("it does not listen")
		}
		return nil
	}))
	none := watch(ctx, t, r.Standard)
	const words = "opening 127.0.0.1:9525 for metrics: address already in use"
	err = r.rewrite(ctx, t, metricsKey)
	exitStatus(t, err, 1)
	if !strings.Contains(fmt.Sprint(err), words) {
		t.Errorf("reload says %v", err)
	}
	if s, err := r.alpha.Status(ctx); err != nil || !strings.Contains(s.Problem, words) || !s.File.InForce {
		t.Errorf("status says %+v (%v)", s, err)
	}
	must(t, eventuallySays(ctx, r.alpha.Proc, words))
	must(t, r.tells(ctx, `postroad_problem{problem="metrics"} 1`))
	listen(ctx, t, r.Bravo, "25")
	if !reach(ctx, r.Alpha, r.Bravo.IPv4.String(), "25") {
		t.Error("SMTP does not get through")
	}
	none()
	must(t, other.Kill())
	run(ctx, t, r.Alpha.Host, "nft", "flush", "ruleset") // so that there is a pass soon
	must(t, lab.Eventually(ctx, 5*time.Second, "metrics", func() error {
		out, err := get(ctx, r.Alpha.Host, "GET", "/metrics", "9525")
		if err == nil && !strings.Contains(out, "postroad_up 1") {
			err = errors.New(out)
		}
		return err
	}))
	must(t, r.tells(ctx, `postroad_problem{problem="metrics"} 0`))
}

// What happens shows: bytes, what is refused, what is put back and what is new,
// and a file that is broken.
func TestMetricsTellWhatHappens(t *testing.T) {
	ctx, r := newRoad(t)
	const changed, repaired = `postroad_changes_total{kind="guard"}`, `postroad_repairs_total{kind="guard"}`
	first := r.value(ctx, t, changed) // the start's
	must(t, r.tells(ctx, repaired+" 0"))
	run(ctx, t, r.Alpha.Host, "nft", "flush", "ruleset")
	must(t, inPlace(ctx, r.alpha))
	must(t, r.tells(ctx, repaired+" 1"))
	must(t, r.tells(ctx, fmt.Sprintf("%s %d", changed, first)))

	must(t, r.rewrite(ctx, t, "ports = [25, 465, 587, 2526]"))
	must(t, r.tells(ctx, fmt.Sprintf("%s %d", changed, first+1)))
	must(t, r.tells(ctx, repaired+" 1"))

	series := fmt.Sprintf("postroad_peer_smtp_connections{peer=%q}", r.Bravo.Name)
	must(t, r.tells(ctx, series+" 0"))
	_, err := r.Bravo.Sink(ctx, "0.0.0.0:25")
	must(t, err)
	newSession(ctx, t, r.Alpha, r.Bravo.IPv4.String())
	must(t, r.tells(ctx, series+" 1"))

	exitStatus(t, r.rewrite(ctx, t, "mtu = 1"), 2)
	must(t, r.tells(ctx, "postroad_peers_file_in_force 0"))

	must(t, r.tells(ctx, fmt.Sprintf(`postroad_peer_refused_packets_total{direction="in",peer=%q} 0`, r.Bravo.Name)))
	_, err = r.bravo.Command(ctx, "down")
	must(t, err)
	if reach(ctx, r.Bravo, r.Alpha.IPv4.String(), "25") {
		t.Error("clear SMTP gets in")
	}
	must(t, lab.Eventually(ctx, 5*time.Second, "a refusal", func() error {
		if n := r.value(ctx, t, fmt.Sprintf(`postroad_peer_refused_packets_total{direction="in",peer=%q}`, r.Bravo.Name)); n == 0 {
			return errors.New("none is counted")
		}
		return nil
	}))
}

// Prometheus' own tool has nothing against the metrics, nor against the rules'
// names for them: over the socket and over TCP.
func TestUserspaceMetricsPleasePromtool(t *testing.T) {
	needBackend(t, "userspace")
	ctx, r := newRoad(t, metricsKey)
	for _, source := range []string{
		"postroad metrics",
		`printf 'GET /metrics HTTP/1.0\r\n\r\n' | nc 127.0.0.1 9525 | sed '1,/^\r$/d'`,
	} {
		if out, err := r.Alpha.Run(ctx, "sh", "-c", source+` | tee /run/metrics | promtool check metrics 2>&1 && grep -c ^postroad_ /run/metrics`); err != nil || len(strings.Fields(out)) != 1 {
			t.Errorf("%s: %v\n%s", source, err, out)
		}
	}
}

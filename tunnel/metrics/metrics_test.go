package metrics

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"postroad/peers"
	"postroad/tunnel"
)

// A fake is a daemon that answers what it is told to.
type fake struct {
	report tunnel.Report
	err    error
	asked  atomic.Int32
}

func (f *fake) Report(context.Context) (tunnel.Report, error) {
	f.asked.Add(1)
	return f.report, f.err
}

func at(second int64) time.Time { return time.Unix(second, 500e6) }

func wellReport() tunnel.Report {
	return tunnel.Report{
		Status: tunnel.Status{Link: "postroad0", Backend: peers.Userspace, File: tunnel.FileStatus{InForce: true, Loaded: at(100)},
			Peers: []tunnel.PeerStatus{
				{Name: "mx.bravo.example", Policy: peers.Require, State: tunnel.Protected, Since: at(200), LastHandshake: at(300),
					Addresses: make([]netip.Addr, 2), Endpoint: netip.MustParseAddrPort("192.0.2.1:51825"),
					Received: 1, Sent: 2, RefusedIn: 3, RefusedOut: 4, Connections: 5, MTU: 1408, MTUMeasured: at(350)},
				{Name: "mx.charlie.example", Policy: peers.Require, State: tunnel.Waiting, Since: at(200), Names: []string{"mx.charlie.example"},
					DNS: []peers.Remark{{Kind: peers.AddressLeft}, {Kind: peers.AddressLeft}}},
				{Name: "mx.delta.example", Policy: peers.Prefer, State: tunnel.Clear, ByPolicy: true, ClearSeconds: 90.5},
			},
			Domains: []tunnel.DomainStatus{
				{Domain: "a.example", Open: []peers.OpenMX{{Host: "a"}, {Host: "b", First: true}}, Looked: at(500)},
				{Domain: "b.example", Error: "no answer"},
			}},
		Counters: tunnel.Counters{Passes: 9, FailedPasses: 2, PassTime: 1500 * time.Millisecond, LastPass: at(400),
			Changes: map[tunnel.StepKind]uint64{tunnel.RuleStep: 7}, Repairs: map[tunnel.StepKind]uint64{tunnel.GuardStep: 5}},
		Problems: map[string]bool{tunnel.PassProblem: true, tunnel.MemoryProblem: false, tunnel.MetricsProblem: false},
	}
}

// wants are some of the samples of wellReport, of every kind.
var wants = []string{
	"postroad_up 1",
	"postroad_peers_file_in_force 1",
	"postroad_peers_file_loaded_timestamp_seconds 100.5",
	`postroad_link_info{backend="userspace",link="postroad0"} 1`,
	"postroad_passes_total 9",
	"postroad_failed_passes_total 2",
	"postroad_pass_seconds_total 1.5",
	"postroad_last_pass_timestamp_seconds 400.5",
	`postroad_changes_total{kind="rule"} 7`,
	`postroad_changes_total{kind="guard"} 0`,
	`postroad_repairs_total{kind="guard"} 5`,
	`postroad_problem{problem="pass"} 1`,
	`postroad_problem{problem="metrics"} 0`,
	`postroad_peer_info{peer="mx.bravo.example",policy="require"} 1`,
	`postroad_peer_state{peer="mx.bravo.example",state="protected"} 1`,
	`postroad_peer_state{peer="mx.bravo.example",state="clear"} 0`,
	`postroad_peer_state{peer="mx.charlie.example",state="waiting"} 1`,
	`postroad_peer_state_since_timestamp_seconds{peer="mx.bravo.example"} 200.5`,
	`postroad_peer_last_handshake_timestamp_seconds{peer="mx.bravo.example"} 300.5`,
	`postroad_peer_received_bytes_total{peer="mx.bravo.example"} 1`,
	`postroad_peer_sent_bytes_total{peer="mx.bravo.example"} 2`,
	`postroad_peer_refused_packets_total{direction="in",peer="mx.bravo.example"} 3`,
	`postroad_peer_refused_packets_total{direction="out",peer="mx.bravo.example"} 4`,
	`postroad_peer_smtp_connections{peer="mx.bravo.example"} 5`,
	`postroad_peer_smtp_connections{peer="mx.charlie.example"} 0`,
	`postroad_peer_endpoint_resolved{peer="mx.bravo.example"} 1`,
	`postroad_peer_endpoint_resolved{peer="mx.charlie.example"} 0`,
	`postroad_peer_addresses{peer="mx.bravo.example"} 2`,
	`postroad_peer_clear_by_policy{peer="mx.bravo.example"} 0`,
	`postroad_peer_clear_by_policy{peer="mx.delta.example"} 1`,
	`postroad_peer_clear_seconds_total{peer="mx.bravo.example"} 0`,
	`postroad_peer_clear_seconds_total{peer="mx.delta.example"} 90.5`,
	`postroad_peer_mtu_bytes{peer="mx.bravo.example"} 1408`,
	`postroad_peer_mtu_measured_timestamp_seconds{peer="mx.bravo.example"} 350.5`,
	`postroad_peer_dns_remarks{kind="address-left",peer="mx.charlie.example"} 2`,
	`postroad_peer_dns_remarks{kind="name-failing",peer="mx.charlie.example"} 0`,
	`postroad_domain_unprotected_mx{domain="a.example"} 2`,
	`postroad_domain_unprotected_first{domain="a.example"} 1`,
	`postroad_domain_lookup_failing{domain="a.example"} 0`,
	`postroad_domain_looked_up_timestamp_seconds{domain="a.example"} 500.5`,
	`postroad_domain_unprotected_mx{domain="b.example"} 0`,
	`postroad_domain_unprotected_first{domain="b.example"} 0`,
	`postroad_domain_lookup_failing{domain="b.example"} 1`,
	`postroad_build_info{goversion="go`,
	"go_goroutines ",
	"process_resident_memory_bytes ",
}

// scrape returns what Prometheus would see.
func scrape(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(g).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	f := &fake{report: wellReport()}
	g := New("1.2.3", f)
	got := scrape(t, g)
	for _, want := range wants {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, `handshake_timestamp_seconds{peer="mx.charlie.example"}`) {
		t.Error("a handshake that never was")
	}
	if n := f.asked.Load(); n != 1 {
		t.Errorf("a scrape asks %d times", n)
	}
	problems, err := testutil.GatherAndLint(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Everything that is described comes out of a daemon that is well, and has a
// sample in wants: what is new has to be tried, too.
func TestAllIsTried(t *testing.T) {
	for _, d := range all {
		_, rest, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ := strings.Cut(rest, `"`)
		if !strings.Contains("\n"+strings.Join(wants, "\n"), "\n"+name+" ") && !strings.Contains(strings.Join(wants, "\n"), name+"{") {
			t.Errorf("no test wants %s", name)
		}
	}
}

// None known is not none.
func TestUncountedConnectionsAreAbsent(t *testing.T) {
	f := &fake{report: wellReport()}
	f.report.Status.Uncounted = "no inet_diag"
	got := scrape(t, New("1.2.3", f))
	if strings.Contains(got, "smtp_connections") || !strings.Contains(got, "postroad_peer_addresses") {
		t.Errorf("says\n%s", got)
	}
}

func TestWithoutAnAnswer(t *testing.T) {
	part := wellReport()
	part.Status.Peers = nil
	for _, test := range []struct {
		name          string
		fake          *fake
		present, gone []string
	}{
		{"no look", &fake{report: part, err: errors.New("netlink")},
			[]string{"postroad_up 0", "postroad_passes_total 9", "postroad_peers_file_in_force 1", "postroad_build_info{"},
			[]string{"postroad_peer_", "postroad_link_info"}},
		{"no answer", &fake{err: context.DeadlineExceeded},
			[]string{"postroad_up 0", "postroad_build_info{", "go_goroutines "},
			[]string{"postroad_peer", "postroad_passes", "postroad_problem"}},
	} {
		got := scrape(t, New("1.2.3", test.fake))
		for _, p := range test.present {
			if !strings.Contains(got, "\n"+p) {
				t.Errorf("%s: %s is missing", test.name, p)
			}
		}
		for _, g := range test.gone {
			if strings.Contains(got, "\n"+g) {
				t.Errorf("%s: %s is there", test.name, g)
			}
		}
	}
}

// Who scrapes in a loop does not keep the daemon busy; peers that are removed
// vanish.
func TestAnswersAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{report: wellReport()}
		c := &collector{source: f}
		r := prometheus.NewPedanticRegistry()
		r.MustRegister(c)
		for range 100 {
			scrape(t, r)
		}
		if n := f.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		f.report.Status.Peers = f.report.Status.Peers[1:]
		time.Sleep(freshness)
		if got := scrape(t, r); strings.Contains(got, "bravo") || !strings.Contains(got, "charlie") {
			t.Errorf("a removed peer is still there:\n%s", got)
		}
	})
}

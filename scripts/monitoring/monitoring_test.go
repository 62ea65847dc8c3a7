// Package monitoring tests the alert rules and the dashboard: that Prometheus
// takes them, and that they name what the daemon tells.
package monitoring

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"postroad/tunnel"
	"postroad/tunnel/metrics"
)

// promtool runs Prometheus' own tool on files of this folder.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil && os.Getenv("POSTROAD_TEST_ROOT") == "" {
		t.Skip("promtool is missing: it is in Debian's package prometheus")
	}
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRules(t *testing.T) { promtool(t, "check", "rules", "--lint-fatal", "alerts.yml") }

func TestAlerts(t *testing.T) { promtool(t, "test", "rules", "alerts_test.yml") }

// Each alert is tried both ways: where it must fire and where it must not.
func TestEveryAlertIsTried(t *testing.T) {
	tests := read(t, "alerts_test.yml")
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(read(t, "alerts.yml"), -1) {
		fires := regexp.MustCompile(`alertname: ` + m[1] + `\n +exp_alerts:\n +- exp_labels:`)
		if !fires.MatchString(tests) || !strings.Contains(tests, "alertname: "+m[1]+"}") {
			t.Errorf("no test in which %s fires, or none in which it does not", m[1])
		}
	}
}

// full is a daemon that tells all that there is to tell.
type full struct{}

func (full) Report(context.Context) (tunnel.Report, error) {
	now := time.Now()
	return tunnel.Report{
		Status: tunnel.Status{File: tunnel.FileStatus{Loaded: now}, Peers: []tunnel.PeerStatus{{Name: "p", Since: now, LastHandshake: now, Names: []string{"p"}}},
			Domains: []tunnel.DomainStatus{{Domain: "d", Looked: now}}},
		Counters: tunnel.Counters{LastPass: now},
		Problems: map[string]bool{tunnel.PassProblem: false},
	}, nil
}

// exported returns the names of all metrics, with the values of their labels.
func exported(t *testing.T) map[string]map[string][]string {
	t.Helper()
	families, err := metrics.New("1.2.3", full{}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string][]string{"up": {"job": nil, "instance": nil}} // Prometheus' own
	for _, f := range families {
		all[f.GetName()] = labels(f)
	}
	return all
}

func labels(f *dto.MetricFamily) map[string][]string {
	found := map[string][]string{"job": nil, "instance": nil}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			found[l.GetName()] = append(found[l.GetName()], l.GetValue())
		}
	}
	return found
}

// words are what an expression may hold beside names of metrics.
var words = strings.Fields("sum min max by on and or unless group_left rate increase changes absent time round")

var (
	strs      = regexp.MustCompile(`"[^"]*"`)
	selector  = regexp.MustCompile(`([a-z_]+)\{([^}]*)\}`)
	matcher   = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"([^"]*)"`)
	grouping  = regexp.MustCompile(`\b(?:by|on|group_left) \(([^)]*)\)`)
	durations = regexp.MustCompile(`\[[^]]*\]`)
	name      = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
)

// wrong returns what in an expression the daemon never tells.
func wrong(expr string, all map[string]map[string][]string) (found []string) {
	rest := durations.ReplaceAllString(grouping.ReplaceAllString(selector.ReplaceAllString(expr, "$1 "), ""), "")
	named := name.FindAllString(strs.ReplaceAllString(rest, ""), -1)
	for _, n := range named {
		if all[n] == nil && !slices.Contains(words, n) {
			found = append(found, n)
		}
	}
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			values, known := all[s[1]][m[1]]
			for v := range strings.SplitSeq(m[2], "|") {
				if !known || !strings.HasPrefix(v, "$") && m[1] != "job" && !slices.Contains(values, v) {
					found = append(found, s[1]+"{"+m[0]+"}")
				}
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(g[1], ", ") {
			if !slices.ContainsFunc(named, func(n string) bool { _, ok := all[n][l]; return ok }) {
				found = append(found, g[0])
			}
		}
	}
	return found
}

func TestWrong(t *testing.T) {
	all := exported(t)
	for _, expr := range []string{
		`postroad_peer_sate`, `rate(postroad_peer_sent_bytes[5m])`, `postroad_peer_state{state="open"} == 1`, `postroad_up{peer="p"}`,
		`sum by (peer) (postroad_up)`, `postroad_peer_state{state=~"waiting|shut"}`,
	} {
		if wrong(expr, all) == nil {
			t.Errorf("%s passes", expr)
		}
	}
}

func TestAlertsNameWhatThereIs(t *testing.T) {
	all, n := exported(t), 0
	text := regexp.MustCompile(`expr: (>-\n +)?`).ReplaceAllString(read(t, "alerts.yml"), "\nexpr: ")
	text = regexp.MustCompile(`\n +and on`).ReplaceAllString(text, " and on")
	for line := range strings.Lines(text) {
		if expr, ok := strings.CutPrefix(line, "expr: "); ok {
			n++
			if w := wrong(strings.TrimSpace(expr), all); w != nil {
				t.Errorf("%s: the daemon tells no %v", expr, w)
			}
		}
	}
	if want := strings.Count(text, "- alert: "); n != want {
		t.Errorf("%d expressions found of %d alerts", n, want)
	}
}

// What an operator has to know of the numbers is shipped with them.
func TestEveryAlertTellsWhatToDo(t *testing.T) {
	rules := strings.Split(read(t, "alerts.yml"), "- alert: ")[1:]
	for _, r := range rules {
		for _, key := range []string{"summary: ", "description: ", "severity: "} {
			if !strings.Contains(r, key) {
				t.Errorf("%.40s: %sis missing", r, key)
			}
		}
	}
}

// A dashboard is Grafana's model of one, as far as we look at it.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct{ List []struct{ Expr string } }
	Panels      []panel
}

type panel struct {
	ID                       int
	Title, Type, Description string
	Datasource               struct{ Type, UID string }
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct{ Expr, RefID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
}

func load(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "postroad" || len(d.Panels) < 10 {
		t.Fatalf("uid %q, %d panels", d.UID, len(d.Panels))
	}
	return d
}

// expressions returns all of a dashboard's.
func (d dashboard) expressions() (all []string) {
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		all = append(all, a.Expr)
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			expr, label, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Definition, "label_values("), ")"), ", ")
			all = append(all, "sum by ("+label+") ("+expr+")")
		}
	}
	return all
}

func TestDashboardNamesWhatThereIs(t *testing.T) {
	d, all := load(t), exported(t)
	defined := map[string]bool{"__rate_interval": true, "__range": true}
	for _, v := range d.Templating.List {
		defined[v.Name] = true
	}
	for _, expr := range d.expressions() {
		if w := wrong(expr, all); w != nil {
			t.Errorf("%s: the daemon tells no %v", expr, w)
		}
		for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(expr, -1) {
			if !defined[m[1]] {
				t.Errorf("%s: no variable %s", expr, m[1])
			}
		}
	}
}

func TestDashboardIsSound(t *testing.T) {
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range load(t).Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d (%s): id, title, description, unit or target is missing, or given twice", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s: data source %+v", p.Title, p.Datasource)
		}
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("%s is beside the grid: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies upon %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

package tunnel

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postroad/peers"
)

// about returns the log's lines with a message, without their time.
func (r *rig) about(msg string) (lines []string) {
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, ` msg="`+msg+`"`) || strings.Contains(line, " msg="+msg+" ") {
			_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
			lines = append(lines, line)
		}
	}
	return lines
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("log lines:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What somebody else changed is told, with who it was; what was asked for is
// something else.
func TestDriftIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(*State)
		what   string
	}{
		"guard": {func(s *State) { s.Guard = Guard{} }, "what=guard steps=1"},
		"rules": {func(s *State) { s.Rules = s.Rules[2:] }, `what="2 rules" steps=2`},
		"route": {func(s *State) { s.Routes = s.Routes[1:] }, "what=route steps=1"},
		"link":  {func(s *State) { s.Link.Up = false }, "what=link steps=1"},
		"alien": {func(s *State) { s.Device.Peers = append(s.Device.Peers, DevicePeer{PublicKey: peers.PublicKey{9}}) }, "what=peer steps=1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, nil)
				settle()
				wantLines(t, r.about("drift repaired"))
				if asked := r.about("changes applied"); len(asked) == 0 {
					t.Error("the start is not told")
				}
				asked := len(r.about("changes applied"))
				r.fake.damageBy(Culprit{"nft (pid 7)", name == "guard"}, tc.damage)
				settle()
				wantLines(t, r.about("drift repaired"), `level=WARN msg="drift repaired" `+tc.what+` by="nft (pid 7)"`)
				if len(r.about("changes applied")) != asked {
					t.Errorf("told as asked for: %s", r.log)
				}
			})
		})
	}
}

// Nobody is blamed for what was done long after he was seen, nor for a reload.
func TestDriftBlamesNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		r.fake.damageBy(Culprit{"nft (pid 8)", true}, func(*State) {})
		time.Sleep(blameFor + time.Second)
		r.fake.damageBy(Culprit{"ip (pid 8)", false}, func(s *State) { s.Guard = Guard{} })
		settle()
		wantLines(t, r.about("drift repaired"), `level=WARN msg="drift repaired" what=guard steps=1`)
		r.file = testConfig()
		r.file.Host.Ports = []uint16{25, 587}
		r.fake.damageBy(Culprit{"ip (pid 9)", false}, func(*State) {})
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle()
		if n := len(r.about("drift repaired")); n != 1 {
			t.Errorf("a reload is told as drift: %s", r.log)
		}
	})
}

// Who was named for one thing is not for the next.
func TestDriftBlamesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		r.fake.damageBy(Culprit{"nft (pid 8)", true}, func(s *State) { s.Guard = Guard{} })
		settle()
		r.fake.damage(func(s *State) { s.Guard = Guard{} })
		time.Sleep(driftGap)
		synctest.Wait()
		wantLines(t, r.about("drift repaired"), `level=WARN msg="drift repaired" what=guard steps=1 by="nft (pid 8)"`,
			`level=WARN msg="drift repaired" what=guard steps=1`)
	})
}

// Under a storm there is a line now and then, and in all of them together
// everything.
func TestDriftStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		const n = 100
		for range n {
			r.fake.damage(func(s *State) { s.Guard = Guard{} })
			settle()
		}
		time.Sleep(driftGap + interval)
		synctest.Wait()
		told, steps := r.about("drift repaired"), 0
		for _, line := range told {
			m := regexp.MustCompile(`steps=(\d+)`).FindStringSubmatch(line)
			steps += atoi(t, m[1])
		}
		if took := n * 2 * maxGap; len(told) > int(took/driftGap)+2 || steps != n {
			t.Errorf("%d lines about %d of %d repairs", len(told), steps, n)
		}
	})
}

// A peer that roamed, and is called at its place in the file again when it falls
// silent, is nobody's fault.
func TestDriftIsNotRoaming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		before := r.fake.steps()
		r.fake.damage(func(s *State) { s.Device.Peers[0].Endpoint = addrPort("198.51.100.9:1") })
		settle()
		if r.fake.steps() == before {
			t.Fatal("nothing was done")
		}
		wantLines(t, r.about("drift repaired"))
	})
}

// A reload says what it changes, by name and key and without values.
func TestReloadSaysWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		settle()
		reload := func(change func(*peers.Config)) {
			r.file = testConfig()
			change(r.file)
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		reload(func(*peers.Config) {})
		reload(func(c *peers.Config) {
			c.Host.MTU = 1400
			c.Peers[0].PresharedKey = peers.PresharedKeyFrom([32]byte{77})
			c.Peers = append(c.Peers, peers.Peer{Name: "charlie", PublicKey: peers.PublicKey{2}, Addresses: pool[1:2]})
		})
		reload(func(c *peers.Config) { c.Peers = nil })
		wantLines(t, r.about("peers file in force"),
			`level=INFO msg="peers file in force" peers=1 changed=nothing`,
			`level=INFO msg="peers file in force" peers=2 added=charlie changed="bravo (preshared_key_file)" host=mtu`,
			`level=INFO msg="peers file in force" peers=0 removed="bravo, charlie" host=mtu`)
	})
}

func TestListedIsShort(t *testing.T) {
	words := slices.Repeat([]string{"a"}, 25)
	if got := listed(words); !strings.HasSuffix(got, "a, 5 more") || strings.Count(got, "a") != 20 || words[20] != "a" {
		t.Error(got, words)
	}
}

func TestDriftWords(t *testing.T) {
	var b safeBuffer
	var d drift
	d.blame([]string{"nobody"})
	d.add([]Step{AddRule{}, CreateLink{}, SetLink{}, AddRule{}, AddAddress{}, ReplaceGuard{}})
	d.blame([]string{"a", "b", "a"})
	d.tell(slog.New(slog.NewTextHandler(&b, nil)), time.Unix(1e9, 0))
	if !strings.Contains(b.String(), `what="guard, link, 2 rules" steps=6 by="a, b"`) {
		t.Error(b.String())
	}
}

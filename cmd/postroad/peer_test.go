package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postroad/peers"
	"postroad/tunnel"
	"postroad/tunnel/control"
)

// A reloadingDaemon reloads, or says why not.
type reloadingDaemon struct {
	reload  error
	reloads int
}

func (*reloadingDaemon) Status(context.Context) (tunnel.Status, error) { return tunnel.Status{}, nil }
func (*reloadingDaemon) Down(context.Context) error                    { return nil }
func (f *reloadingDaemon) Reload(context.Context) error {
	f.reloads++
	return f.reload
}

// serve answers at a socket in dir until the test ends.
func (f *reloadingDaemon) serve(t *testing.T, dir string) (socket string) {
	t.Helper()
	socket = filepath.Join(dir, "socket")
	server, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Serve(ctx, f, http.NotFoundHandler()) }()
	t.Cleanup(func() {
		stop()
		<-done
		server.Close()
	})
	return socket
}

// postroad runs a command on a host of dir.
func postroad(dir, stdin string, words ...string) (status int, says string) {
	var out strings.Builder
	words = append(words, "-c", filepath.Join(dir, "postroad.toml"), "--socket", filepath.Join(dir, "socket"))
	status = run(context.Background(), words, strings.NewReader(stdin), &out, &out)
	return status, out.String()
}

// newHost makes a host that is set up, and the card of another.
func newHost(t *testing.T) (dir, card string) {
	t.Helper()
	resolver = testZone("")
	dir = t.TempDir()
	if status, says := postroad(dir, "", "init", "--name", "mx1.example.org", "--address", "198.51.100.7"); status != 0 {
		t.Fatalf("init: %d: %s", status, says)
	}
	key, err := peers.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return dir, "[[peer]]\nname = \"mx.partner.example\"\npublic_key = \"" + key.Public().String() + "\"\naddresses = [\"203.0.113.5\"]\n"
}

func TestPeerApply(t *testing.T) {
	dir, card := newHost(t)
	d := &reloadingDaemon{}
	d.serve(t, dir)
	for i, step := range []struct {
		words  string
		status int
		says   string
		reload int // how often so far
	}{
		{"peer add", 0, "Next, put it in force: postroad reload", 0},
		{"peer add --apply", 0, "already, with the same key and addresses: nothing to change\nthe peers file is in force", 1},
		{"peer remove mx.partner.example --apply", 0, "flows IN CLEAR from the reload on\nthe peers file is in force", 2},
		{"peer add --apply", 0, "the peers file is in force", 3},
	} {
		status, says := postroad(dir, card, strings.Fields(step.words)...)
		if status != step.status || !strings.Contains(says, step.says) || d.reloads != step.reload {
			t.Errorf("step %d, %s: status %d after %d reloads: %s", i, step.words, status, d.reloads, says)
		}
	}
}

// What the daemon refuses stays in the file, and the status and the words tell.
func TestPeerApplyRefused(t *testing.T) {
	dir, card := newHost(t)
	(&reloadingDaemon{reload: errors.New("the host lacks something")}).serve(t, dir)
	status, says := postroad(dir, card, "peer", "add", "--apply")
	for _, want := range []string{"postroad: the host lacks something\n", "the daemon refuses the peers file, and what was in force still is; ", "keeps the change: "} {
		if !strings.Contains(says, want) {
			t.Errorf("it does not say %q: %s", want, says)
		}
	}
	if status != exitFailed || strings.Contains(says, "is in force\n") {
		t.Errorf("status %d: %s", status, says)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "postroad.toml")); err != nil || !strings.Contains(string(data), card) {
		t.Errorf("the file has lost the peer: %v", err)
	}
}

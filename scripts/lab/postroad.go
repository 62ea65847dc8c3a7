package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where postroad's files are on a host: its defaults, so that no command needs to be told.
const (
	PeersFile = "/etc/postroad/postroad.toml"
	KeyFile   = "/etc/postroad/private.key"
)

// Postroad is the daemon on a mail host, with a key made by its own commands.
type Postroad struct {
	Site  *Site
	Key   string // public
	*Proc        // nil until it is started
}

// Status is what `postroad status --json` says, as far as tests look at it.
type Status struct {
	Backend string `json:"backend"`
	Problem string `json:"problem"`
	File    struct {
		InForce bool     `json:"in_force"`
		Errors  []string `json:"errors"`
	} `json:"file"`
	Peers []PeerStatus `json:"peers"`
}

// PeerStatus is the part of a [Status] about one peer.
type PeerStatus struct {
	Name          string    `json:"name"`
	State         string    `json:"state"`
	Reason        string    `json:"reason"`
	LastHandshake time.Time `json:"last_handshake"`
	Endpoint      string    `json:"endpoint"`
	Received      int64     `json:"received_bytes"`
	Sent          int64     `json:"sent_bytes"`
	RefusedIn     uint64    `json:"refused_in_packets"`
	RefusedOut    uint64    `json:"refused_out_packets"`
	Connections   int       `json:"smtp_connections"`
	MTU           int       `json:"mtu"`
	MTUMeasured   time.Time `json:"mtu_measured"`
	MTUSilent     bool      `json:"mtu_silent"`
	ByPolicy      bool      `json:"clear_by_policy"`
	Latched       bool      `json:"latched"`
	ClearSeconds  float64   `json:"clear_seconds"`
}

// Postroad puts the postroad binary on a host and makes a key there.
func (s *Site) Postroad(ctx context.Context, binary string) (*Postroad, error) {
	p := &Postroad{Site: s}
	if err := s.Host.Install(binary); err != nil {
		return nil, err
	}
	private, err := p.Command(ctx, "genkey")
	if err != nil {
		return nil, err
	}
	public, err := s.run(ctx, private, "postroad", "pubkey")
	p.Key = strings.TrimSpace(public)
	return p, errors.Join(err, s.WriteFile(KeyFile, []byte(private), 0o600))
}

// Block is the part of a peers file that makes this host a peer; more lines may follow.
func (p *Postroad) Block(more ...string) string {
	return p.BlockOf(p.Site.IPv4, p.Site.IPv6) + strings.Join(more, "\n")
}

// BlockOf is [Postroad.Block] with other addresses than the site's.
func (p *Postroad) BlockOf(addrs ...netip.Addr) string {
	var quoted []string
	for _, a := range addrs {
		quoted = append(quoted, fmt.Sprintf("%q", a))
	}
	return fmt.Sprintf("[[peer]]\nname = %q\npublic_key = %q\naddresses = [%s]\n", p.Site.Name, p.Key, strings.Join(quoted, ", "))
}

// Write writes the peers file out of parts, the first of which begins with [host]; it takes effect at the next start or
// reload. Where the parts name no backend it is [Backend].
func (p *Postroad) Write(parts ...string) error {
	return p.Site.WriteFile(PeersFile, PeersText(parts...), 0o644)
}

// PeersText is what [Postroad.Write] writes.
func PeersText(parts ...string) []byte {
	text := strings.Join(parts, "\n") + "\n"
	if strings.Contains(text, "backend = ") {
		return []byte(text)
	}
	host, rest, more := strings.Cut(text, "[[peer]]")
	text = fmt.Sprintf("%sbackend = %q\n", host, Backend())
	if more {
		text += "[[peer]]" + rest
	}
	return []byte(text)
}

// Backend is the WireGuard that a lab's hosts use: $POSTROAD_BACKEND, or else userspace, which every machine has.
func Backend() string { return cmp.Or(os.Getenv("POSTROAD_BACKEND"), "userspace") }

// Start starts the daemon and waits until it says that it is ready. What the daemon of an earlier start left stays.
func (p *Postroad) Start(ctx context.Context) error { return p.StartWithin(ctx, 10*time.Second) }

// StartWithin is [Postroad.Start] for a daemon that has much to do.
func (p *Postroad) StartWithin(ctx context.Context, timeout time.Duration) (err error) {
	if p.Proc, err = p.Site.Host.Start("postroad", "run"); err != nil {
		return err
	}
	return p.Until(ctx, timeout, "postroad on "+p.Site.Name, func() error {
		if !strings.Contains(p.Output(), "ready:") {
			return errors.New("it is not ready: " + p.Output())
		}
		return nil
	})
}

// Resident is how much memory the daemon takes now, in kB.
func (p *Postroad) Resident() (kB int, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(rest, &kB)
	return kB, err
}

// Hangup sends SIGHUP.
func (p *Postroad) Hangup() error { return p.Signal(unix.SIGHUP) }

// Command runs a postroad command on the host.
func (p *Postroad) Command(ctx context.Context, args ...string) (string, error) {
	return p.Site.Run(ctx, "postroad", args...)
}

// Status asks the daemon, whatever the exit status says.
func (p *Postroad) Status(ctx context.Context) (s Status, err error) {
	out, runErr := p.Command(ctx, "status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return s, errors.Join(runErr, err)
	}
	return s, nil
}

// Peer is the status of one peer.
func (p *Postroad) Peer(ctx context.Context, name string) (PeerStatus, error) {
	s, err := p.Status(ctx)
	if err != nil {
		return PeerStatus{}, err
	}
	for _, peer := range s.Peers {
		if peer.Name == name {
			return peer, nil
		}
	}
	return PeerStatus{}, fmt.Errorf("status on %s knows no peer %s", p.Site.Name, name)
}

// WaitState waits until a peer is in a state.
func (p *Postroad) WaitState(ctx context.Context, peer, state string) error {
	return Eventually(ctx, 10*time.Second, peer+" to be "+state, func() error {
		s, err := p.Peer(ctx, peer)
		if err == nil && s.State != state {
			err = fmt.Errorf("it is %s: %s", s.State, s.Reason)
		}
		return err
	})
}

// Pave makes alpha and bravo peers of each other, starts both daemons and waits until the tunnel answers. More are lines
// of both hosts' [host] section.
func (s *Standard) Pave(ctx context.Context, binary string, more ...string) (alpha, bravo *Postroad, err error) {
	all, err := s.PaveBetween(ctx, []*Site{s.Alpha, s.Bravo}, binary, more...)
	return all[0], all[1], err
}

// PaveBetween is [Standard.Pave] for more sites, each a peer of each. It returns their daemons in the same order, nil for
// what came after an error.
func (s *Standard) PaveBetween(ctx context.Context, sites []*Site, binary string, more ...string) (all []*Postroad, err error) {
	all = make([]*Postroad, len(sites))
	for i, site := range sites {
		if all[i], err = site.Postroad(ctx, binary); err != nil {
			return all, err
		}
	}
	host := strings.Join(append([]string{"[host]"}, more...), "\n") + "\n"
	for i, p := range all {
		parts := []string{host}
		for _, peer := range without(all, i) {
			parts = append(parts, peer.Block())
		}
		if err := errors.Join(p.Write(parts...), p.Start(ctx)); err != nil {
			return all, err
		}
	}
	for i, p := range all {
		for _, peer := range without(all, i) {
			err = errors.Join(err, p.WaitState(ctx, peer.Site.Name, "protected"))
		}
	}
	return all, err
}

// without is a slice but for its element i.
func without[E any](all []E, i int) []E { return slices.Concat(all[:i], all[i+1:]) }

// Binary is the postroad to test: $POSTROAD_BINARY, or else one that is found on the search path.
func Binary() string {
	if b := os.Getenv("POSTROAD_BINARY"); b != "" {
		return b
	}
	return lookPath("postroad")
}

// Addr is the site's address of a family.
func (s *Site) Addr(v6 bool) netip.Addr {
	if v6 {
		return s.IPv6
	}
	return s.IPv4
}

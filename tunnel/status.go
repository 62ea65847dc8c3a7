package tunnel

import (
	"context"
	"time"

	"postroad/peers"
)

// A Status is all there is to say about a host. Its JSON is stable.
type Status struct {
	Host       string          `json:"host"`
	PublicKey  peers.PublicKey `json:"public_key"`
	Link       string          `json:"link"`
	Backend    peers.Backend   `json:"backend"`
	ListenPort uint16          `json:"listen_port"`
	File       FileStatus      `json:"file"`
	Problem    string          `json:"problem,omitempty"` // why the last pass failed
	Peers      []PeerStatus    `json:"peers"`
}

// A FileStatus says whether the peers file on disk is the one in force.
type FileStatus struct {
	InForce bool      `json:"in_force"`
	Loaded  time.Time `json:"loaded"`           // when the one in force was read
	Errors  []string  `json:"errors,omitempty"` // of the one on disk
}

// Closed says whether no SMTP with any peer can be on the wire in clear.
func (s *Status) Closed() bool { return s.count(Clear) == 0 }

// Well says whether mail flows, or would, with every peer, protected, and the
// file on disk is in force.
func (s *Status) Well() bool {
	return s.Problem == "" && s.File.InForce && s.count(Protected)+s.count(Idle) == len(s.Peers)
}

func (s *Status) count(state PeerState) (n int) {
	for _, p := range s.Peers {
		if p.State == state {
			n++
		}
	}
	return n
}

// Status looks at the system and says how everything stands.
func (l *Loop) Status(ctx context.Context) (s Status, err error) {
	err = l.call(ctx, func(ctx context.Context) error {
		have, want, err := l.look(ctx)
		if err != nil {
			return err
		}
		now, h := time.Now(), l.config.Host
		s = Status{Host: h.Name, PublicKey: h.PrivateKey.Public(), Link: h.Link, Backend: have.Link.Backend,
			ListenPort: h.ListenPort, File: l.file, Peers: Judge(l.config, have, want, now)}
		if l.problem != nil {
			s.Problem = l.problem.Error()
		}
		l.tracker.update(s.Peers, now)
		return nil
	})
	return s, err
}

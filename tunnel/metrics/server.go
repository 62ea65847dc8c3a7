package metrics

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"
)

// Limits of the listener: it may be reached by others than root.
const (
	maxConnections = 16
	maxHeader      = 8 << 10 // bytes
	readTimeout    = 5 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute // a scrape a minute keeps its connection
)

// A Server answers at a TCP address, which can change, or nowhere. Its methods
// are for one goroutine.
type Server struct {
	Handler http.Handler
	Log     *slog.Logger

	at     netip.AddrPort
	server *http.Server
	ended  chan error // why it serves no more
}

// Expose sees to it that the handler answers at an address, and nowhere else;
// zero: nowhere at all. Where it does already nothing is done.
func (s *Server) Expose(at netip.AddrPort) error {
	if s.server != nil && s.at == at && !s.broken() {
		return nil
	}
	s.Close()
	if !at.IsValid() {
		return nil
	}
	l, err := net.Listen(network(at.Addr()), at.String())
	if err != nil {
		return fmt.Errorf("opening %s for metrics: %w: free it, or change `metrics` in the peers file", at, cause(err))
	}
	s.serve(at, netutil.LimitListener(l, maxConnections))
	return nil
}

func (s *Server) serve(at netip.AddrPort, l net.Listener) {
	server := &http.Server{Handler: s.Handler, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	s.at, s.server, s.ended = at, server, ended
	s.Log.Info("metrics can be read", "url", "http://"+at.String()+"/metrics")
}

// network keeps 0.0.0.0 to IPv4: with "tcp" it would be every IPv6 address, too.
func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp"
}

// broken says whether serving ended by itself.
func (s *Server) broken() bool {
	select {
	case err := <-s.ended:
		s.ended <- err
		s.Log.Warn("answering for metrics broke off; trying again", "error", err)
		return true
	default:
		return false
	}
}

// Close gives the address up, and waits until it is free.
func (s *Server) Close() {
	if s.server == nil {
		return
	}
	_ = s.server.Close() // of listener and connections: whatever they say, they are gone
	<-s.ended
	s.server, s.at = nil, netip.AddrPort{}
}

// cause is what the system says, without what the caller says himself.
func cause(err error) error {
	var e unix.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

// Package control is the daemon's unix socket: HTTP with JSON, for the
// commands that ask a running daemon.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// DefaultSocket is where the daemon listens.
const DefaultSocket = "/run/postroad/control.sock"

// ErrRunning says that another daemon holds the socket.
var ErrRunning = errors.New("another postroad is running")

// A Daemon is what the socket gives access to.
type Daemon interface {
	Status(ctx context.Context) (tunnel.Status, error)
	Reload(ctx context.Context) error
	Down(ctx context.Context) error
}

// A Server holds the socket, and a lock beside it that ends with the process.
type Server struct {
	listener net.Listener
	lock     *os.File
}

// Listen takes the socket. It fails with ErrRunning where a daemon has it.
func Listen(path string) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the control socket: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w (it holds %s.lock)", ErrRunning, path)
	}
	l, err := listen(path)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &Server{l, lock}, nil
}

// listen makes the socket under a name that nobody asks for until only root
// may use it.
func listen(path string) (net.Listener, error) {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing an old control socket: %w", err)
	}
	l, err := net.Listen("unix", fresh)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	err = errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path))
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	return l, nil
}

// Close gives socket and lock up.
func (s *Server) Close() error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) { // by Serve
		err = nil
	}
	return errors.Join(err, s.lock.Close())
}

// Serve answers until ctx ends, which is no error.
func (s *Server) Serve(ctx context.Context, d Daemon) error {
	h := http.Server{Handler: handler(d), ReadHeaderTimeout: 5 * time.Second}
	answered := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(answered)
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = h.Shutdown(grace)
	})
	if err := h.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("serving the control socket: %w", err)
	}
	<-answered // Serve returns before the last answers are written
	return nil
}

func handler(d Daemon) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		s, err := d.Status(r.Context())
		answer(w, s, err)
	})
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, d.Reload(r.Context()))
	})
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, d.Down(r.Context()))
	})
	return mux
}

// A refusal is the answer to what did not work.
type refusal struct {
	Errors []string `json:"errors"`
	File   bool     `json:"file"` // the peers file is at fault
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		r := refusal{File: tunnel.IsFileError(err)}
		for _, e := range tunnel.Flatten(err) {
			r.Errors = append(r.Errors, e.Error())
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
		v = r
	}
	_ = json.NewEncoder(w).Encode(v) // whoever asked may have gone
}

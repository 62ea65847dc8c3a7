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
	if err := makeFolder(filepath.Dir(path)); err != nil {
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

// makeFolder makes a folder that all may pass through, whatever the umask;
// systemd's RuntimeDirectory= makes it, other inits do not.
func makeFolder(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, 0o755))
}

// listen makes the socket under a name that nobody asks for until only those may
// use it who shall.
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
	err = share(fresh, Group)
	if err == nil {
		err = os.Rename(fresh, path)
	}
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

// Serve answers until ctx ends, which is no error. What metrics answers is for all
// who may use the socket, as is the status.
func (s *Server) Serve(ctx context.Context, d Daemon, metrics http.Handler) error {
	h := http.Server{Handler: hangUp(handler(d, metrics)), ReadHeaderTimeout: 5 * time.Second, ConnContext: withAsker}
	h.SetKeepAlivesEnabled(false) // a connection is for one request: nobody fills us with more
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

// hangUp waits no longer than a second for the rest of a request that has been
// answered. There is no deadline before that: a reload takes its time.
func hangUp(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second)) }()
		h.ServeHTTP(w, r)
	})
}

func handler(d Daemon, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		s, err := d.Status(r.Context())
		answer(w, s, err)
	})
	mux.HandleFunc("POST /reload", rootOnly("reload", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, d.Reload(r.Context()))
	}))
	mux.HandleFunc("POST /down", rootOnly("take the protection down", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, d.Down(r.Context()))
	}))
	return mux
}

// A refusal is the answer to what did not work.
type refusal struct {
	Errors []string `json:"errors"`
	File   bool     `json:"file"` // the peers file is at fault
}

func answer(w http.ResponseWriter, v any, err error) {
	if err == nil {
		write(w, http.StatusOK, v)
		return
	}
	r := refusal{File: tunnel.IsFileError(err)}
	for _, e := range tunnel.Flatten(err) {
		r.Errors = append(r.Errors, e.Error())
	}
	write(w, http.StatusUnprocessableEntity, r)
}

func write(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // whoever asked may have gone
}

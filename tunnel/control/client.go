package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// ErrNotRunning says that no daemon answers at the socket.
var ErrNotRunning = errors.New("postroad is not running")

// statusTimeout is how long a daemon may take to say how it is.
const statusTimeout = 10 * time.Second

var errNoAnswer = errors.New("the daemon runs but does not answer; what it has put in place stands")

// A RefusedError is what the daemon said against a request.
type RefusedError struct {
	Errors []string // one a line, for people
	File   bool     // the peers file is at fault
}

func (e *RefusedError) Error() string { return fmt.Sprintf("the daemon refused: %s", e.Errors) }

// A Client asks the daemon at a socket.
type Client struct{ Socket string }

// Status asks how everything stands.
func (c Client) Status(ctx context.Context) (s tunnel.Status, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, errNoAnswer)
	defer cancel()
	return s, c.ask(ctx, http.MethodGet, "/status", &s)
}

// Reload has the daemon read the peers file, and returns when it is in force.
func (c Client) Reload(ctx context.Context) error {
	return c.ask(ctx, http.MethodPost, "/reload", &struct{}{})
}

// Down has the daemon take all protection away, and end.
func (c Client) Down(ctx context.Context) error {
	return c.ask(ctx, http.MethodPost, "/down", &struct{}{})
}

// Metrics copies what the daemon tells Prometheus, as text.
func (c Client) Metrics(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, errNoAnswer)
	defer cancel()
	res, err := c.send(ctx, http.MethodGet, "/metrics")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("asking the daemon for metrics: it answers %s", res.Status)
	}
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("copying the daemon's metrics: %w", err)
	}
	return nil
}

// ask decodes the daemon's answer into v, or returns what it has against it.
func (c Client) ask(ctx context.Context, method, path string, v any) error {
	res, err := c.send(ctx, method, path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var r refusal
		if err := json.NewDecoder(res.Body).Decode(&r); err != nil {
			return fmt.Errorf("reading the daemon's answer (%s): %w", res.Status, err)
		}
		return &RefusedError{r.Errors, r.File}
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("reading the daemon's answer: %w", err)
	}
	return nil
}

func (c Client) send(ctx context.Context, method, path string) (*http.Response, error) {
	h := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
		}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://postroad"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := h.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("asking the daemon at %s: only root may, and the members of the group %s: try sudo, or `usermod -aG %s USER` for good", c.Socket, Group, Group)
	case errors.Is(context.Cause(ctx), errNoAnswer):
		return nil, errNoAnswer
	case err != nil:
		return nil, fmt.Errorf("asking the daemon: %w", err)
	}
	return res, nil
}

package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// Group is the group whose members may read from the daemon. What changes
// something is for root.
const Group = "postroad"

// nobody is who asks where that cannot be told.
const nobody = ^uint32(0)

// share lets a group use the socket, if this host has the group and we may; else
// it is root's, or its owner's, alone.
func share(path, group string) error {
	g, err := user.LookupGroup(group)
	if err != nil {
		return os.Chmod(path, 0o600)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("reading the id of the group %s: %w", group, err)
	}
	switch err := give(path, gid); {
	case errors.Is(err, unix.EPERM): // neither root nor one of them
		return os.Chmod(path, 0o600)
	case err != nil:
		return err
	}
	return os.Chmod(path, 0o660)
}

// give makes a file a group's. One of the group's processes need not, and as a
// service it may not: chown(2) is privileged there.
func give(path string, gid int) error {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return err
	}
	if int(stat.Gid) == gid {
		return nil
	}
	return os.Chown(path, -1, gid)
}

type askerKey struct{}

// withAsker notes with a connection which user asks, as the kernel tells.
func withAsker(ctx context.Context, c net.Conn) context.Context {
	uid := nobody
	if raw, err := c.(*net.UnixConn).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				uid = cred.Uid
			}
		})
	}
	return context.WithValue(ctx, askerKey{}, uid)
}

// rootOnly refuses to do something for anybody else.
func rootOnly(what string, do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if uid, ok := r.Context().Value(askerKey{}).(uint32); !ok || uid != 0 {
			write(w, http.StatusForbidden, refusal{Errors: []string{"only root may " + what + ": try sudo"}})
			return
		}
		do(w, r)
	}
}

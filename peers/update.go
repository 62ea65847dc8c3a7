package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// How long to wait for others that write in the folder, and how often to look.
const (
	lockPatience = 10 * time.Second
	lockPause    = 20 * time.Millisecond
)

// Update changes the peers file at path, or the one that a symbolic link there
// leads to. change gets its content and returns the new one, and may be called
// once only. The file is replaced whole, with the same owner and mode, or left
// as it is: whatever fails, or if the power does. One update at a time reads and
// writes, so that none undoes another.
func Update(ctx context.Context, path string, change func(data []byte) ([]byte, error)) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("opening peers file %q: %w", path, cause(err))
	}
	unlock, err := lockDir(ctx, filepath.Dir(real))
	if err != nil {
		return fmt.Errorf("changing peers file %q: %w", path, err)
	}
	defer unlock()
	old, err := readPeersFile(real)
	if err != nil {
		return err
	}
	data, err := change(bytes.Clone(old))
	if err != nil || bytes.Equal(data, old) {
		return err
	}
	if err := rewrite(real, data); err != nil {
		return fmt.Errorf("changing peers file %q, which is as it was: %w", path, err)
	}
	return nil
}

// lockDir waits until the folder is ours. The lock needs no file, and goes with
// the process.
func lockDir(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening its folder: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			break
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another program holds the folder %s: try again when it is done", dir)
		case <-time.After(lockPause):
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking its folder: %w", err)
	}
	return func() { f.Close() }, nil
}

// rewrite replaces a file's content, with its owner and mode.
func rewrite(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return replaceFile(path, data, func(f *os.File) error {
		stat := info.Sys().(*syscall.Stat_t)
		if err := f.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
			return err
		}
		return f.Chmod(info.Mode())
	})
}

package lab

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Sysctl sets a kernel parameter of the host, such as net.ipv4.conf.all.rp_filter.
func (h *Host) Sysctl(key, value string) error {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	err := h.enter(namespaces, func() error { return os.WriteFile("/proc/sys/"+key, []byte(value), 0o644) })
	return h.wrap(err, "setting")
}

// WriteFile writes a file in the host, and its directories if need be.
func (h *Host) WriteFile(path string, data []byte, mode fs.FileMode) error {
	err := h.enter(namespaces, func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, mode); err != nil {
			return err
		}
		return os.Chmod(path, mode) // whatever the umask was
	})
	return h.wrap(err, "writing")
}

// ReadFile reads a file of the host.
func (h *Host) ReadFile(path string) (data []byte, err error) {
	err = h.enter(namespaces, func() error {
		data, err = os.ReadFile(path)
		return err
	})
	return data, h.wrap(err, "reading")
}

// Install copies a program of the machine to the host, where its name alone then finds it.
func (h *Host) Install(program string) error { return h.installAs(program, filepath.Base(program)) }

func (h *Host) installAs(program, name string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("installing on %s: %w", h.Name, err)
	}
	// A process that is being started meanwhile would have the file open for writing, too, and
	// nobody could run it then (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return h.WriteFile(filepath.Join("/run/bin", name), data, 0o755)
}

func (h *Host) wrap(err error, doing string) error {
	if err != nil {
		return fmt.Errorf("%s on %s: %w", doing, h.Name, err)
	}
	return nil
}

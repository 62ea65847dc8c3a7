package userspace

import (
	"cmp"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A writing is the memory of a call of Write.
type writing struct {
	mu      sync.Mutex            // guards all
	try     func(fd uintptr) bool // writeSome, made once
	merger  merger
	vectors [batchSize]unix.Iovec
	parts   int // of vectors, to write at once
	failure error
}

// Write implements [tun.Device].
func (i *iface) Write(bufs [][]byte, offset int) (int, error) {
	w := &i.writing
	w.mu.Lock()
	defer w.mu.Unlock()
	defer clear(w.vectors[:len(bufs)]) // the device uses the memory for others then
	written, failure := 0, error(nil)
	for _, g := range w.merger.merge(bufs, offset) {
		w.gather(&g, bufs, offset)
		if err := i.raw.Write(w.try); err != nil {
			return written, fmt.Errorf("%w: %w", os.ErrClosed, err) // it has no other reason
		}
		if failure = cmp.Or(failure, w.failure); w.failure == nil {
			written += 1 + len(g.more)
		}
	}
	return written, failure
}

// gather makes one write of a group.
func (w *writing) gather(g *group, bufs [][]byte, offset int) {
	first := bufs[g.first][offset-vnetSize:]
	g.close(first[:vnetSize])
	w.parts, w.failure = 0, nil
	w.part(first)
	for _, i := range g.more {
		w.part(bufs[i][offset+g.end:])
	}
}

func (w *writing) part(b []byte) {
	w.vectors[w.parts].Base = &b[0]
	w.vectors[w.parts].SetLen(len(b))
	w.parts++
}

// writeSome writes; false: the kernel has no room. It makes the call without
// telling Go's scheduler, as it does not block.
func (w *writing) writeSome(fd uintptr) bool {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&w.vectors[0])), uintptr(w.parts))
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case unix.EBADFD: // the interface was deleted
			w.failure = os.ErrClosed
		default:
			w.failure = os.NewSyscallError("writing to the interface", errno)
		}
		return true
	}
}

package linux

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postroad/tunnel"
)

// The last attribute need not be padded, and one that says to be longer than there
// is makes no sense.
func TestAttribute(t *testing.T) {
	for name, tt := range map[string]struct {
		data, want []byte
		fails      bool
	}{
		"not padded":     {data: []byte{5, 0, 1, 0, 'x'}, want: []byte("x")},
		"padded":         {data: []byte{5, 0, 1, 0, 'x', 0, 0, 0}, want: []byte("x")},
		"another before": {data: []byte{4, 0, 2, 0, 5, 0, 1, 0x80, 'x'}, want: []byte("x")},
		"the first":      {data: []byte{5, 0, 1, 0, 'x', 0, 0, 0, 5, 0, 1, 0, 'y'}, want: []byte("x")},
		"empty":          {data: []byte{4, 0, 1, 0}, want: []byte{}},
		"none":           {data: []byte{4, 0, 2, 0}},
		"cut":            {data: []byte{6, 0, 1, 0, 'x'}, fails: true},
		"too short":      {data: []byte{3, 0, 1, 0, 'x'}, fails: true},
	} {
		got, err := attribute(tt.data, 1)
		if string(got) != string(tt.want) || (got == nil) != (tt.want == nil) || (err != nil) != tt.fails {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	m := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_DELRULE}, Data: append(make([]byte, unix.SizeofRtMsg), 5, 0, 15, 0, 1)}
	if oursOnRoute(m, 0) || attr32(m.Data, unix.SizeofRtMsg, unix.FRA_TABLE, nil) == tunnel.Table {
		t.Error("a table of one byte is ours")
	}
}

// A request that was never answered is not taken for one that was, because another
// has two answers.
func TestEachRequestHasItsAnswer(t *testing.T) {
	answer := func(seq uint32) syscall.NetlinkMessage {
		return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.NLMSG_ERROR, Seq: seq}, Data: make([]byte, 4)}
	}
	for name, tt := range map[string]struct {
		come  []syscall.NetlinkMessage
		fails bool
	}{
		"each": {come: []syscall.NetlinkMessage{answer(1), answer(0)}}, "one twice": {come: []syscall.NetlinkMessage{answer(0), answer(0), answer(1)}, fails: true},
		"one not": {come: []syscall.NetlinkMessage{answer(1)}, fails: true}, "another's": {come: []syscall.NetlinkMessage{answer(2)}, fails: true},
	} {
		a := &asker{receive: func() ([]syscall.NetlinkMessage, error) {
			if len(tt.come) == 0 {
				return nil, os.ErrDeadlineExceeded
			}
			one := tt.come[:1]
			tt.come = tt.come[1:]
			return one, nil
		}}
		if err := a.answers(2, func(int, []byte, error) {}); (err != nil) != tt.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

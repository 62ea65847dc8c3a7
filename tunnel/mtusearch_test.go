package tunnel

import (
	"math/rand/v2"
	"testing"
)

// searched runs a search against a path that takes so many bytes, and returns
// what it found, the sizes it asked for, and how many of them did not cross.
func searched(t *testing.T, s *mtuSearch, path int) (found int, asked []int, failed int) {
	t.Helper()
	for size := s.next(); size != 0; size = s.next() {
		if len(asked) > 40 {
			t.Fatalf("a path of %d: does not end: %v", path, asked)
		}
		asked = append(asked, size)
		if size > path {
			failed++
		}
		s.result(size, size <= path)
	}
	return s.low, asked, failed
}

// Whatever the path takes, whatever is in use and whatever this host could send,
// what is found is the largest whole number of units that crosses, soon.
func TestMTUSearchFindsTheLargest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for path := SafeMTU; path <= 9000; path++ {
		most := path + r.IntN(9000)
		current := SafeMTU + r.IntN(9000)
		found, asked, failed := searched(t, newMTUSearch(current, most, true), path)
		if want := path / 16 * 16; found != want || len(asked) > 18 || failed > 12 {
			t.Fatalf("path %d, most %d, in use %d: found %d, want %d, after %v", path, most, current, found, want, asked)
		}
	}
}

// Usual paths take few questions: each that is not answered takes seconds.
func TestMTUSearchKnowsUsualPaths(t *testing.T) {
	for _, tt := range []struct{ outer, most, overhead, want, questions int }{
		{1500, 1440, 60, 1440, 2},
		{1500, 1440, 80, 1408, 5},
		{1492, 1440, 60, 1424, 6},
		{1492, 1420, 80, 1408, 2},
		{1280, 1440, 60, 1216, 7},
		{1280, 1420, 80, 1200, 7},
		{1400, 1440, 60, 1328, 7},
		{9000, 8940, 60, 8928, 2},
		{1500, 8940, 60, 1440, 7},
	} {
		found, asked, _ := searched(t, newMTUSearch(SafeMTU, tt.most, true), tt.outer-tt.overhead)
		if found != tt.want || len(asked) > tt.questions {
			t.Errorf("%+v: found %d after %v", tt, found, asked)
		}
	}
}

// A look at the size in use is one question if nothing has changed, and finds
// the new size at once if the path has shrunk.
func TestMTUSearchVerifies(t *testing.T) {
	if found, asked, _ := searched(t, newMTUSearch(1408, 1440, false), 1440); found != 1408 || len(asked) != 1 {
		t.Errorf("found %d after %v", found, asked)
	}
	for path := SafeMTU; path < 1408; path++ {
		if found, asked, _ := searched(t, newMTUSearch(1408, 1440, false), path); found != path/16*16 {
			t.Fatalf("path %d: found %d after %v", path, found, asked)
		}
	}
}

func TestMTUSearchLimit(t *testing.T) {
	s := newMTUSearch(SafeMTU, 1440, true)
	s.result(s.next(), true)
	s.result(s.next(), true) // 1440, in fragments
	s.limit(1340)
	if s.low != 1328 || s.next() != 0 {
		t.Errorf("%+v", s)
	}
}

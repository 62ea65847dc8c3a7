package userspace

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestEven(t *testing.T) {
	for name, tt := range map[string]struct{ sizes, want []int }{
		"none":                       {nil, nil},
		"one":                        {[]int{52}, []int{52}},
		"of one size":                {[]int{52, 52}, []int{52, 52}},
		"two":                        {[]int{52, 97}, []int{97, 97}},
		"among large ones":           {[]int{1420, 60, 257, 256, 1420}, []int{1420, 256, 257, 256, 1420}},
		"a large one does not count": {[]int{52, 1420}, []int{52, 1420}},
	} {
		t.Run(name, func(t *testing.T) {
			const offset = 16
			r := rand.New(rand.NewPCG(1, 1))
			bufs, before := make([][]byte, len(tt.sizes)), make([][]byte, len(tt.sizes))
			for i := range bufs {
				bufs[i] = random(r, offset+1500) // what was in the buffer must not go to a peer
				before[i] = bytes.Clone(bufs[i])
			}
			sizes := slices.Clone(tt.sizes)
			even(bufs, sizes, offset)
			if !slices.Equal(sizes, tt.want) {
				t.Errorf("sizes %v, want %v", sizes, tt.want)
			}
			for i, size := range tt.sizes {
				want := slices.Concat(before[i][:offset+size], make([]byte, tt.want[i]-size), before[i][offset+tt.want[i]:])
				if !bytes.Equal(bufs[i], want) {
					t.Errorf("packet %d of %d bytes is not itself and zeros", i, size)
				}
			}
		})
	}
}

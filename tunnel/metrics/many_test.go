package metrics

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"postroad/tunnel"
)

// BenchmarkScrape10000 answers a scrape of a daemon with that many peers.
func BenchmarkScrape10000(b *testing.B) {
	r := wellReport()
	peer := r.Status.Peers[0]
	r.Status.Peers = make([]tunnel.PeerStatus, 10000)
	for i := range r.Status.Peers {
		peer.Name = fmt.Sprintf("mx%d.many.example", i)
		r.Status.Peers[i] = peer
	}
	h := Handler(New("test", &fake{report: r}))
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		b.SetBytes(int64(w.Body.Len()))
	}
}

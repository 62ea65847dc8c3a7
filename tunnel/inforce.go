package tunnel

import (
	"fmt"
	"strings"

	"postroad/peers"
)

// inForce returns what to log of a peers file that is put in force: how many
// peers it has and what it changes.
func inForce(ch peers.Changes, n int) []any {
	attrs := []any{"peers", n}
	if ch.None() {
		return append(attrs, "changed", "nothing")
	}
	changed := make([]string, len(ch.Changed))
	for i, p := range ch.Changed {
		changed[i] = p.String()
	}
	for _, part := range []struct {
		key   string
		words []string
	}{{"added", ch.Added}, {"removed", ch.Removed}, {"changed", changed}, {"host", ch.Host}} {
		if len(part.words) > 0 {
			attrs = append(attrs, part.key, listed(part.words))
		}
	}
	return attrs
}

// listed joins words, of many only the first.
func listed(words []string) string {
	const most = 20
	if more := len(words) - most; more > 0 {
		words = append(words[:most:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, ", ")
}

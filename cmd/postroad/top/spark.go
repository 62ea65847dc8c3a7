package top

import (
	"math"
	"strings"
)

// Levels of a sparkline: none, and then up to the highest.
var (
	blocks = []rune("▁▂▃▄▅▆▇█")
	ascii  = []rune("_.:-=+*#")
)

// quietest is the least scale in bytes a second: a keepalive is to look like
// little, even if there is nothing else.
const quietest = 1024

// spark draws the last rates, the newest at the right, scaled to the highest of
// them. What is not known is left blank.
func spark(rates []float64, width int, levels []rune) string {
	rates = rates[max(0, len(rates)-width):]
	top := float64(quietest)
	for _, r := range rates {
		if r > top { // never true of unknown
			top = r
		}
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(rates)))
	for _, r := range rates {
		b.WriteRune(level(r/top, levels))
	}
	return b.String()
}

// level is that of a share of the highest; whatever is more than nothing shows.
func level(share float64, levels []rune) rune {
	if math.IsNaN(share) {
		return ' '
	}
	return levels[int(math.Ceil(share*float64(len(levels)-1)))]
}

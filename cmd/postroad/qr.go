package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"rsc.io/qr"
)

// quiet is the light margin that ISO/IEC 18004 wants around a code, in modules.
const quiet = 4

// The colours of a terminal that make a code dark on light, whatever its own are.
const (
	whiteOnBlack = "\x1b[38;5;231;48;5;16m"
	noColour     = "\x1b[0m"
)

// printQR writes a text as a QR code of half blocks: a module is as wide as a
// character and half as high. A light one is inked, as most terminals are dark.
func printQR(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("making the QR code: %w: this card is too long for one; send it without --qr", err)
	}
	before, after := "", ""
	if isTerminal(w) {
		before, after = whiteOnBlack, noColour
	}
	b := bufio.NewWriter(w)
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString(before)
		for x := -quiet; x < code.Size+quiet; x++ {
			b.WriteRune(halves(!code.Black(x, y), !code.Black(x, y+1)))
		}
		b.WriteString(after + "\n")
	}
	return b.Flush()
}

// halves returns the character with its upper, lower, both or no half inked.
func halves(upper, lower bool) rune {
	switch {
	case upper && lower:
		return '█'
	case upper:
		return '▀'
	case lower:
		return '▄'
	}
	return ' '
}

// isTerminal says whether a reader or writer is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

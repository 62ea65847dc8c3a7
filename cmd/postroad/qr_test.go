package main

import (
	"image"
	"image/color"
	"net/netip"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"postroad/peers"
)

// scale is how many pixels a module has on the screen that we look at.
const scale = 4

// screen is what a dark terminal shows of half blocks.
func screen(text string) image.Image {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	img := image.NewGray(image.Rect(0, 0, scale*len([]rune(lines[0])), scale*2*len(lines)))
	for y, line := range lines {
		for x, r := range []rune(line) {
			upper, lower := r == '█' || r == '▀', r == '█' || r == '▄'
			for half, light := range []bool{upper, lower} {
				if light {
					fill(img, x, 2*y+half)
				}
			}
		}
	}
	return img
}

func fill(img *image.Gray, x, y int) {
	for i := range scale * scale {
		img.SetGray(x*scale+i%scale, y*scale+i/scale, color.Gray{Y: 255})
	}
}

// A program that reads QR codes gets the card back, from short ones and long ones.
func TestQRIsRead(t *testing.T) {
	key, err := peers.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	p := peers.Peer{Name: "mx.partner.example", PublicKey: key.Public(), Policy: peers.Require, Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.5")}}
	for _, domains := range [][]string{nil, {"partner.example", "example.org", "a.long.name.of.a.domain.example", "another.long.name.of.a.domain.example"}} {
		p.Domains = domains
		var out strings.Builder
		if err := printQR(&out, p.Block()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Error("escape sequences outside of a terminal")
		}
		bitmap, err := gozxing.NewBinaryBitmapFromImage(screen(out.String()))
		if err != nil {
			t.Fatal(err)
		}
		pure := map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true} // a screen shot, not a photograph
		got, err := qrcode.NewQRCodeReader().Decode(bitmap, pure)
		if err != nil {
			t.Fatalf("%v:\n%s", err, out.String())
		}
		if got.GetText() != p.Block() {
			t.Errorf("got %q, want %q", got.GetText(), p.Block())
		}
	}
}

func TestQROfTooMuch(t *testing.T) {
	if err := printQR(new(strings.Builder), strings.Repeat("x", 4000)); err == nil || !strings.Contains(err.Error(), "without --qr") {
		t.Errorf("got %v", err)
	}
}

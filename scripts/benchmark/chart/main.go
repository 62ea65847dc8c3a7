// Command chart draws what scripts/bench measured, as SVG or PNG. It reads panels as JSON from its standard input; scripts/bench
// builds and runs it. It is a module of its own, so that postroad's does not need what only a chart needs.
//
// usage: chart FILE.svg|FILE.png
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	_ "gonum.org/v1/plot/vg/vgimg"
	_ "gonum.org/v1/plot/vg/vgsvg"
)

// A Panel is one of the diagrams, which are drawn below each other.
type Panel struct {
	Title      string
	Axis       string   // what the values are
	Categories []string // along the other axis
	Series     []Series
}

// A Series has a name in the legend, and a value for each category.
type Series struct {
	Name   string
	Values []Value
}

// A Value that has no Median is not drawn.
type Value struct{ Median, Least, Most float64 }

// Sizes of the picture.
const (
	width  = 26 * vg.Centimeter
	height = 9 * vg.Centimeter // of a panel
	margin = 2 * vg.Millimeter
)

func main() {
	if err := run(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintf(os.Stderr, "chart: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader) error {
	if len(args) != 1 {
		return errors.New("usage: chart FILE.svg|FILE.png")
	}
	var panels []Panel
	if err := json.NewDecoder(stdin).Decode(&panels); err != nil {
		return fmt.Errorf("reading panels: %w", err)
	}
	if len(panels) == 0 {
		return errors.New("there is nothing to draw")
	}
	picture, err := drawn(panels, strings.TrimPrefix(filepath.Ext(args[0]), "."))
	if err != nil {
		return err
	}
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	_, err = picture.WriteTo(f)
	return errors.Join(err, f.Close())
}

func drawn(panels []Panel, format string) (vg.CanvasWriterTo, error) {
	picture, err := draw.NewFormattedCanvas(width, vg.Length(len(panels))*height, format)
	if err != nil {
		return nil, err
	}
	all := draw.New(picture)
	for i, panel := range panels {
		p, err := panel.plot()
		if err != nil {
			return nil, err
		}
		top := vg.Length(i) * height
		p.Draw(draw.Crop(all, margin, -margin, vg.Length(len(panels)-1-i)*height+margin, -top-margin))
	}
	return picture, nil
}

// plot has a mark for each median, with a bar from the least to the most value, on a logarithmic scale: contenders are
// compared by ratios.
func (p Panel) plot() (*plot.Plot, error) {
	out := plot.New()
	out.Title.Text, out.Y.Label.Text = p.Title, p.Axis
	out.Y.Scale, out.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(ticks)
	out.Legend.Top = true
	out.Legend.TextStyle.Font.Size = font.Points(9)
	out.NominalX(p.Categories...)
	out.X.Min, out.X.Max = -0.5, float64(len(p.Categories))+0.4 // room for the legend
	lines := plotter.NewGrid()
	lines.Vertical.Color = nil
	out.Add(lines)
	for i, s := range p.Series {
		offset := (float64(i)+0.5)/float64(len(p.Series)) - 0.5
		if err := s.add(out, 0.8*offset, style(i)); err != nil {
			return nil, fmt.Errorf("drawing %s: %w", s.Name, err)
		}
	}
	out.Y.Min, out.Y.Max = out.Y.Min/1.2, out.Y.Max*1.2
	return out, nil
}

// ticks are at 1, 2 and 5 of each power of ten.
func ticks(least, most float64) (all []plot.Tick) {
	for power := math.Pow(10, math.Floor(math.Log10(least))); power <= most; power *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * power; v >= least && v <= most {
				all = append(all, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 3, 64)})
			}
		}
	}
	return all
}

// add draws a series that far beside the middle of the categories.
func (s Series) add(out *plot.Plot, offset float64, glyph draw.GlyphStyle) error {
	points := &spread{}
	for i, v := range s.Values {
		if v.Median <= 0 {
			continue
		}
		points.XYs = append(points.XYs, plotter.XY{X: float64(i) + offset, Y: v.Median})
		points.YErrors = append(points.YErrors, struct{ Low, High float64 }{v.Median - v.Least, v.Most - v.Median})
	}
	if len(points.XYs) == 0 {
		return nil
	}
	marks, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	bars, err := plotter.NewYErrorBars(points)
	if err != nil {
		return err
	}
	marks.GlyphStyle, bars.Color = glyph, glyph.Color
	out.Add(bars, marks)
	out.Legend.Add(s.Name, marks)
	return nil
}

// A spread is points with bars.
type spread struct {
	plotter.XYs
	plotter.YErrors
}

// style is a color and a shape that not two of a dozen series have in common. The colors are those of Okabe and Ito, which
// people who see few colors can tell apart.
func style(i int) draw.GlyphStyle {
	colors := []uint32{0x000000, 0xe69f00, 0x56b4e9, 0x009e73, 0xd55e00, 0x0072b2, 0xcc79a7}
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.PyramidGlyph{}}
	c := colors[i%len(colors)]
	return draw.GlyphStyle{
		Color:  color.RGBA{R: uint8(c >> 16), G: uint8(c >> 8), B: uint8(c), A: 255},
		Radius: vg.Points(3.5),
		Shape:  shapes[i%len(shapes)],
	}
}

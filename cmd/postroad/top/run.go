package top

import (
	"context"
	"fmt"
	"io"

	tea "charm.land/bubbletea/v2"
)

// Run shows m on a terminal until its user quits or ctx ends, neither of which
// is an error. The terminal is then as it was.
func Run(ctx context.Context, m Model, in io.Reader, out io.Writer) error {
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler()).Run()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("using the terminal: %w", err)
	}
	return nil
}

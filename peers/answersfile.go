package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// AnswersFile is the name of the file, beside that of the selectors, in which the
// daemon remembers what DNS said last.
const AnswersFile = "addresses.json"

// answersFile is how the file looks.
type answersFile struct {
	Names Answers `json:"names"`
}

// Save writes the answers to a file, whole or not at all.
func (a Answers) Save(path string) error {
	if err := memorize(path, answersFile{a}); err != nil {
		return fmt.Errorf("remembering what DNS says: %w", err)
	}
	return nil
}

// LoadAnswers reads what Save wrote. No file means that nothing is known, and is
// no error.
func LoadAnswers(path string) (Answers, error) {
	a, err := recall(path, parseAnswers)
	if err != nil {
		return nil, fmt.Errorf("reading what DNS said last, from %s: %w", path, err)
	}
	return a, nil
}

func parseAnswers(data []byte) (Answers, error) {
	var f answersFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	for name, known := range f.Names {
		if !isHostName(name) || name != nameKey(name) || len(known) > MaxHeld {
			return nil, errors.New("this is not what was written there")
		}
		seen := map[netip.Addr]bool{}
		for _, k := range known {
			if err := checkAddress(k.Addr); err != nil || seen[k.Addr] {
				return nil, errors.Join(errors.New("an address is none of a mail host, or there twice"), err)
			}
			seen[k.Addr] = true
		}
	}
	return f.Names, nil
}

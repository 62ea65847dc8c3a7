package peers

import (
	"fmt"
	"strconv"
	"time"
)

// A table is one of the file's, and where it stands.
type table struct {
	d      *decoder
	path   string
	where  string // in problems
	values map[string]any
}

// An item is an element of an array.
type item[T any] struct {
	value T
	at    place
}

func (t table) place(key string) place { return place{table: t.path, key: key} }

// problem notes what is wrong with a key, at its line, or if it has none at
// that of the table's header.
func (t table) problem(key, format string, args ...any) {
	t.problemAt(t.place(key), key, format, args...)
}

func (t table) problemAt(at place, key, format string, args ...any) {
	t.d.problem(t.d.line(at), t.where, key, format, args...)
}

// table returns the table of a key, which is empty if the file has none.
func (t table) table(key string) table {
	values, _ := value[map[string]any](t, key, "["+key+"]")
	return table{d: t.d, path: under(t.path, key), where: key, values: values}
}

// value returns a key's value; ok is false if there is none of type T. A value
// of another type is a problem. The example says what would be right.
func value[T any](t table, key, example string) (v T, ok bool) {
	given, there := t.values[key]
	if !there {
		return v, false
	}
	if v, ok = given.(T); !ok {
		t.problem(key, "is %s: give %s", kind(given), wanted(v, example))
	}
	return v, ok
}

// text returns a string that check finds nothing wrong with, or else or if
// there is none the default.
func (t table) text(key, def, example string, check func(string) error) string {
	v, ok := value[string](t, key, example)
	if !ok {
		return def
	}
	if err := check(v); err != nil {
		t.problem(key, "%v", err)
		return def
	}
	return v
}

// integer returns an integer from low to high, or if there is none the default.
func (t table) integer(key string, def, low, high int64) int64 {
	v, ok := value[int64](t, key, strconv.FormatInt(def, 10))
	if !ok {
		return def
	}
	if v < low || v > high {
		t.problem(key, "%d is out of range: give %d to %d", v, low, high)
		return def
	}
	return v
}

// boolean returns a boolean, or if there is none the default.
func (t table) boolean(key string, def bool) bool {
	if v, ok := value[bool](t, key, "true"); ok {
		return v
	}
	return def
}

// list returns the elements of type T of an array; ok is false if there is no
// array. Elements of other types are problems.
func list[T any](t table, key, example string) (items []item[T], ok bool) {
	given, there := t.values[key]
	if !there {
		return nil, false
	}
	all, ok := elements(given)
	if !ok {
		var v T
		t.problem(key, "is %s: give an array of %ss, such as [%s]", kind(given), wantedKind(v), example)
	}
	for i, element := range all {
		at := place{t.path, key, i + 1}
		if v, ok := element.(T); ok {
			items = append(items, item[T]{v, at})
		} else {
			t.problemAt(at, key, "element %d is %s: give %s", i+1, kind(element), wanted(v, example))
		}
	}
	return items, ok
}

// elements returns an array's, which the TOML package gives another type if all
// are tables.
func elements(v any) (all []any, ok bool) {
	if maps, isTables := v.([]map[string]any); isTables {
		for _, m := range maps {
			all = append(all, m)
		}
		return all, true
	}
	all, ok = v.([]any)
	return all, ok
}

// wanted returns the words for a value of v's type.
func wanted(v any, example string) string {
	name := wantedKind(v)
	article := "a"
	if name == "integer" {
		article = "an"
	}
	return fmt.Sprintf("%s %s, such as %s", article, name, example)
}

func wantedKind(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case int64:
		return "integer"
	case bool:
		return "boolean"
	}
	return "table"
}

// kind returns the words for the type of a value that the TOML package gives.
func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case []any, []map[string]any:
		return "an array"
	}
	return "a table"
}

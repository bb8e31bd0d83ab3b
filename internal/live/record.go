package live

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Entry is what is recorded of one place that is ours. It holds values: it belongs into a Secret and nowhere else.
type Entry struct {
	Place

	// Before is what the store had for it before it was adopted.
	Before Value
	// Hidden says that the store did not tell what it had.
	Hidden bool
	// Text is the value that the revision asks for.
	Text string
}

func entryOf(w Want, state State) Entry {
	return Entry{Place: w.Place, Before: state.Stored, Hidden: state.Hidden, Text: w.Text}
}

// Record is a revision: what it asks for at every place, and what was there before everything. It holds values.
type Record struct {
	Revision int64
	Entries  []Entry
}

// Find returns the entry of a place.
func (r Record) Find(p Place) (Entry, bool) {
	i := slices.IndexFunc(r.Entries, func(e Entry) bool { return e.Place == p })
	if i < 0 {
		return Entry{}, false
	}

	return r.Entries[i], true
}

// Next is the record of a revision that asks for the wants: places that were ours keep what was there before them, those
// of adopt are new. Of what is in neither nobody knows what was there before.
func (r Record) Next(revision int64, wants []Want, adopt []Entry) Record {
	next := Record{Revision: revision}

	for _, w := range wants {
		e, ours := r.Find(w.Place)
		if !ours {
			i := slices.IndexFunc(adopt, func(a Entry) bool { return a.Place == w.Place })
			if i < 0 {
				e = Entry{Place: w.Place, Hidden: true}
			} else {
				e = adopt[i]
			}
		}

		e.Text = w.Text
		next.Entries = append(next.Entries, e)
	}

	return next
}

// With is the record with the entries besides, where it has none for their places.
func (r Record) With(entries []Entry) Record {
	r.Entries = slices.Clone(r.Entries)

	for _, e := range entries {
		if _, ours := r.Find(e.Place); !ours {
			r.Entries = append(r.Entries, e)
		}
	}

	return r
}

// mostGone is of how many nodes that are gone the entries are kept: one that comes back finds its own, and pods that come
// and go for years do not fill the record.
const mostGone = 256

// Recent leaves out the entries of all but the first nodes that are gone.
func Recent(entries []Entry, gone func(Node) bool) []Entry {
	kept := map[Node]bool{}

	return slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool {
		at := NodeOf(e.Place)
		if kept[at] || !gone(at) {
			return false
		}

		kept[at] = len(kept) < mostGone

		return !kept[at]
	})
}

// The form of a record in its Secret. Names are short and stay as they are: records outlive a version.
type (
	recordJSON struct {
		Revision int64       `json:"revision"`
		Entries  []entryJSON `json:"entries"`
	}
	entryJSON struct {
		Store    string  `json:"store"`
		Node     string  `json:"node,omitempty"`
		Who      string  `json:"who,omitempty"`
		Database string  `json:"database,omitempty"`
		Role     string  `json:"role,omitempty"`
		Alias    string  `json:"alias,omitempty"`
		Prefix   string  `json:"prefix,omitempty"`
		Name     string  `json:"name,omitempty"`
		Password bool    `json:"password,omitempty"`
		Before   *[]byte `json:"before,omitempty"`
		Hidden   bool    `json:"hidden,omitempty"`
		Value    []byte  `json:"value"`
	}
)

// Encode writes a record as JSON. Values are in base64: they may hold any byte. A setting whose name is not UTF-8 is an
// error: it would be read as another one.
func (r Record) Encode() ([]byte, error) {
	out := recordJSON{Revision: r.Revision}

	for _, e := range r.Entries {
		if !e.Setting.legible() {
			return nil, fmt.Errorf("encode revision %d: the name of a setting of LiveStore %s is not UTF-8", r.Revision, e.Store)
		}

		j := entryJSON{
			Store: e.Store, Node: e.Node, Who: e.Setting.Who, Database: e.Setting.Database, Role: e.Setting.Role, Alias: e.Setting.Alias,
			Prefix: e.Setting.Prefix, Name: e.Setting.Name, Password: e.Setting.Password, Hidden: e.Hidden, Value: []byte(e.Text),
		}
		if e.Before.Set {
			j.Before = new([]byte(e.Before.Text))
		}

		out.Entries = append(out.Entries, j)
	}

	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode revision %d: %w", r.Revision, err)
	}

	return text, nil
}

// DecodeRecord reads what [Record.Encode] wrote.
func DecodeRecord(text []byte) (Record, error) {
	var in recordJSON
	if err := json.Unmarshal(text, &in); err != nil {
		// The library's error may quote what it could not read.
		return Record{}, fmt.Errorf("decode a revision: %T", err)
	}

	r := Record{Revision: in.Revision}

	for _, j := range in.Entries {
		e := Entry{
			Place: Place{Store: j.Store, Node: j.Node, Setting: Setting{
				Who: j.Who, Database: j.Database, Role: j.Role, Alias: j.Alias, Prefix: j.Prefix, Name: j.Name, Password: j.Password,
			}},
			Hidden: j.Hidden, Text: string(j.Value),
		}
		if j.Before != nil {
			e.Before = Text(string(*j.Before))
		}

		r.Entries = append(r.Entries, e)
	}

	return r, nil
}

package main

import (
	"errors"
	"strings"
)

// words splits a command line into words as a shell does: at blanks, with 'single' and "double" quotes and the
// backslash. Nothing is expanded.
func words(line string) ([]string, error) {
	s := splitter{}
	for _, r := range line {
		s.take(r)
	}
	if s.quote != 0 || s.escaped {
		return nil, errors.New("unfinished quote in the command line")
	}
	s.end()
	return s.words, nil
}

// splitter is the state between two characters.
type splitter struct {
	words   []string
	word    strings.Builder
	inWord  bool
	quote   rune
	escaped bool
}

func (s *splitter) take(r rune) {
	switch {
	case s.escaped:
		// Inside double quotes a backslash is itself unless it protects a character that is special there.
		if s.quote == '"' && !strings.ContainsRune("\"\\$`", r) {
			s.word.WriteRune('\\')
		}
		s.add(r)
		s.escaped = false
	case r == '\\' && s.quote != '\'':
		s.escaped, s.inWord = true, true
	case s.quote != 0 && r == s.quote:
		s.quote = 0
	case s.quote != 0:
		s.add(r)
	case r == '\'' || r == '"':
		s.quote, s.inWord = r, true
	case strings.ContainsRune(" \t\n", r):
		s.end()
	default:
		s.add(r)
	}
}

func (s *splitter) add(r rune) {
	s.word.WriteRune(r)
	s.inWord = true
}

func (s *splitter) end() {
	if s.inWord {
		s.words = append(s.words, s.word.String())
	}
	s.word.Reset()
	s.inWord = false
}

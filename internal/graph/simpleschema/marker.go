package simpleschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// marker is what follows a type: key=value.
type marker struct{ key, value string }

// parseMarkers splits what follows the pipe. Besides an error it returns the markers in front of it.
func parseMarkers(text string) ([]marker, error) {
	var markers []marker

	rest := strings.TrimLeftFunc(text, unicode.IsSpace)
	for rest != "" || len(markers) == 0 {
		end := strings.IndexFunc(rest, func(r rune) bool { return r == '=' || unicode.IsSpace(r) })
		if end < 0 {
			return markers, fmt.Errorf("marker key '%s' without a value", rest)
		}

		key := rest[:end]
		if rest = strings.TrimLeftFunc(rest[end:], unicode.IsSpace); !strings.HasPrefix(rest, "=") {
			// What comes next is said as well: a pipe, or a word of a text that lacks its quotes.
			return markers, keyWithoutValue(key, rest)
		}

		if key == "" {
			return markers, errors.New("a marker has an empty key")
		}

		n, err := valueLength(rest[1:])
		if err != nil {
			return markers, fmt.Errorf("marker %s: %w", key, err)
		}

		markers = append(markers, marker{key: key, value: unquote(rest[1 : n+1])})
		rest = strings.TrimLeftFunc(rest[n+1:], unicode.IsSpace)
	}

	return markers, nil
}

func keyWithoutValue(key, rest string) error {
	if strings.HasPrefix(key, "|") {
		return fmt.Errorf("unknown marker: %s %s: a field has one pipe", key, rest)
	}

	return fmt.Errorf("marker key '%s' without a value", key)
}

// valueLength returns where a marker's value ends: at a space that is neither in quotes nor in brackets.
func valueLength(text string) (int, error) {
	quoted, escaped := false, false
	depth := 0

	for i, r := range text {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped = r == '\\'
			quoted = r != '"'
		case r == '"':
			quoted = true
		case r == '{' || r == '[':
			depth++
		case r == '}' || r == ']':
			if depth--; depth < 0 {
				return 0, errors.New("unmatched closing bracket or brace")
			}
		case unicode.IsSpace(r) && depth == 0:
			return i, nil
		}
	}

	switch {
	case quoted:
		return 0, errors.New("unclosed quote")
	case depth > 0:
		return 0, errors.New("unclosed bracket or brace")
	}

	return len(text), nil
}

// unquote removes the quotes around a value, and the backslashes in front of quotes and backslashes in it.
func unquote(value string) string {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return value
	}

	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(value[1 : len(value)-1])
}

// known says whether there is such a marker.
func (m marker) known() bool {
	switch m.key {
	case "required", "default", "description", "minimum", "maximum", "enum", "validation", "immutable", "pattern",
		"minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "listType", "listMapKey":
		return true
	}

	return false
}

// mark gives the field what a marker says.
func (f *field) mark(m marker) error {
	s := f.schema

	switch m.key {
	case "required":
		return m.when(func() { f.required = true })
	case "default":
		return m.setDefault(s)
	case "description":
		s.Description = m.value
	case "immutable":
		return m.when(func() { addRule(s, "self == oldSelf", "field is immutable") })
	case "validation":
		if strings.TrimSpace(m.value) == "" {
			return errors.New("marker validation needs a CEL expression")
		}

		addRule(s, m.value, "validation failed")
	case "minimum":
		return m.setBound(s, &s.Minimum)
	case "maximum":
		return m.setBound(s, &s.Maximum)
	case "enum":
		return m.setEnum(s)
	case "pattern":
		return m.setPattern(s)
	default:
		return m.setSize(s)
	}

	return nil
}

// setSize gives a schema what a marker about lengths and lists says.
func (m marker) setSize(s *apiextensionsv1.JSONSchemaProps) error {
	switch m.key {
	case "minLength":
		return m.setCount(s, "string", &s.MinLength)
	case "maxLength":
		return m.setCount(s, "string", &s.MaxLength)
	case "minItems":
		return m.setCount(s, "array", &s.MinItems)
	case "maxItems":
		return m.setCount(s, "array", &s.MaxItems)
	case "uniqueItems":
		if err := m.only(s, "array"); err != nil {
			return err
		}

		return m.when(func() { s.XListType = new("set") })
	case "listType":
		return m.setListType(s)
	case "listMapKey":
		return m.addListMapKey(s)
	}

	return fmt.Errorf("unknown marker: %s", m.key)
}

// only refuses a marker on a field of another type.
func (m marker) only(s *apiextensionsv1.JSONSchemaProps, types ...string) error {
	if slices.Contains(types, s.Type) {
		return nil
	}

	return fmt.Errorf("marker %s is for the type %s, not for %s", m.key, strings.Join(types, " or "), s.Type)
}

// when does what the marker stands for if its value is true.
func (m marker) when(do func()) error {
	on, err := strconv.ParseBool(m.value)
	if err != nil {
		return fmt.Errorf("marker %s is true or false, not %q", m.key, m.value)
	}

	if on {
		do()
	}

	return nil
}

func addRule(s *apiextensionsv1.JSONSchemaProps, rule, message string) {
	s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{Rule: rule, Message: message})
}

func (m marker) setBound(s *apiextensionsv1.JSONSchemaProps, bound **float64) error {
	if err := m.only(s, "integer", "number"); err != nil {
		return err
	}

	number, err := m.number()
	if err == nil {
		*bound = &number
	}

	return err
}

func (m marker) number() (float64, error) {
	number, err := strconv.ParseFloat(m.value, 64)
	if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
		return 0, fmt.Errorf("marker %s is a number, not %q", m.key, m.value)
	}

	return number, nil
}

func (m marker) integer(text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("marker %s is an integer, not %q", m.key, text)
	}

	return number, nil
}

func (m marker) setCount(s *apiextensionsv1.JSONSchemaProps, of string, count **int64) error {
	if err := m.only(s, of); err != nil {
		return err
	}

	number, err := m.integer(m.value)
	if err != nil {
		return err
	}

	if number < 0 {
		return fmt.Errorf("marker %s is 0 or more, not %d", m.key, number)
	}

	*count = &number

	return nil
}

func (m marker) setPattern(s *apiextensionsv1.JSONSchemaProps) error {
	if err := m.only(s, "string"); err != nil {
		return err
	}

	if m.value == "" {
		return errors.New("marker pattern is a regular expression, not empty")
	}

	if _, err := regexp.Compile(m.value); err != nil {
		return fmt.Errorf("marker pattern is not a regular expression: %w", err)
	}

	s.Pattern = m.value

	return nil
}

func (m marker) setEnum(s *apiextensionsv1.JSONSchemaProps) error {
	if err := m.only(s, "string", "integer"); err != nil {
		return err
	}

	var values []apiextensionsv1.JSON

	for text := range strings.SplitSeq(m.value, ",") {
		if text = strings.TrimSpace(text); text == "" {
			return errors.New("marker enum has an empty value")
		}

		var value any = text

		if s.Type == "integer" {
			number, err := m.integer(text)
			if err != nil {
				return err
			}

			value = number
		}

		raw, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("write the enum value %q: %w", text, err)
		}

		values = append(values, apiextensionsv1.JSON{Raw: raw})
	}

	s.Enum = values

	return nil
}

func (m marker) setDefault(s *apiextensionsv1.JSONSchemaProps) error {
	raw, err := m.defaultOf(s.Type)
	if err != nil {
		return err
	}

	// A null is no default to the server either.
	s.Default = nil
	if string(raw) != "null" {
		s.Default = &apiextensionsv1.JSON{Raw: raw}
	}

	return nil
}

// defaultOf returns the marker's value as JSON of a type.
func (m marker) defaultOf(of string) ([]byte, error) {
	var value any

	var err error

	switch of {
	case "string":
		// The text is written as it would be within quotes: \n is a line break. A quote or anything else that would
		// end or break such a text stands for itself.
		if quoted := []byte(`"` + m.value + `"`); json.Valid(quoted) {
			return quoted, nil
		}

		value = m.value
	case "integer":
		value, err = m.integer(m.value)
	case "number":
		value, err = m.number()
	case "boolean":
		if value, err = strconv.ParseBool(m.value); err != nil {
			err = fmt.Errorf("marker default is true or false, not %q", m.value)
		}
	default:
		return m.defaultJSON(of)
	}

	if err != nil {
		return nil, err
	}

	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("write the default: %w", err)
	}

	return raw, nil
}

// defaultJSON returns the marker's value, which is JSON, as the default of a list or a map.
func (m marker) defaultJSON(of string) ([]byte, error) {
	var value any
	if err := json.Unmarshal([]byte(m.value), &value); err != nil {
		return nil, fmt.Errorf("marker default is not JSON: %w", err)
	}

	ok := false

	switch value.(type) {
	case map[string]any:
		ok = of == "object"
	case []any:
		ok = of == "array"
	case nil:
		ok = true
	}

	if !ok {
		return nil, fmt.Errorf("marker default is not of the type %s: %s", of, m.value)
	}

	return []byte(strings.TrimSpace(m.value)), nil
}

func (m marker) setListType(s *apiextensionsv1.JSONSchemaProps) error {
	if err := m.only(s, "array"); err != nil {
		return err
	}

	switch m.value {
	case "atomic", "set", "map":
		s.XListType = &m.value

		return nil
	}

	return fmt.Errorf("marker listType is atomic, set or map, not %q", m.value)
}

func (m marker) addListMapKey(s *apiextensionsv1.JSONSchemaProps) error {
	if err := m.only(s, "array"); err != nil {
		return err
	}

	switch {
	case m.value == "":
		return errors.New("marker listMapKey is a field of the elements, not empty")
	case slices.Contains(s.XListMapKeys, m.value):
		return fmt.Errorf("duplicate listMapKey %s", m.value)
	}

	// A new list: the copies of a named type's schema share theirs.
	s.XListMapKeys = append(slices.Clip(s.XListMapKeys), m.value)

	return nil
}

// checkList refuses keys that the server would refuse.
func checkList(s *apiextensionsv1.JSONSchemaProps) error {
	isMap := s.XListType != nil && *s.XListType == "map"

	switch {
	case !isMap && len(s.XListMapKeys) > 0:
		return errors.New("marker listMapKey is for listType=map alone")
	case isMap && len(s.XListMapKeys) == 0:
		return errors.New("listType=map needs a marker listMapKey")
	case !isMap:
		return nil
	}

	element := s.Items.Schema

	for _, key := range s.XListMapKeys {
		property, there := element.Properties[key]

		switch {
		case !there:
			return fmt.Errorf("listMapKey %s is not a field of the elements", key)
		case property.Default == nil && !slices.Contains(element.Required, key):
			return fmt.Errorf("listMapKey %s is neither required nor has a default", key)
		}
	}

	return nil
}

// Package simpleschema turns the short notation in which definitions write their instances' spec into an OpenAPI
// schema: a map is a struct, a string such as `integer | default=3 minimum=1` a field with its markers.
package simpleschema

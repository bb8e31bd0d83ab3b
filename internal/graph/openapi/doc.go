// Package openapi makes self-contained schemas of kinds: of a group-version's OpenAPI v3 document and of a
// CustomResourceDefinition. What only people read, the descriptions and examples, is dropped.
package openapi

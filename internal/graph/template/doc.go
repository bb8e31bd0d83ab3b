// Package template takes texts with expressions apart: "${schema.spec.name}-config" is an expression and a literal.
package template

// Package dag puts things that depend on each other in order.
package dag

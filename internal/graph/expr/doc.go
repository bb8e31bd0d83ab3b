// Package expr compiles and evaluates the expressions of the graph dialect: CEL over the instance and the resources of
// a graph, typed by their OpenAPI schemas.
//
// An [Env] knows the variables. It compiles a source to a [Program], which says its type, the variables and fields that
// it reads, and evaluates to plain JSON values. Parsing, checking and planning happen once, at Compile; a schema is
// looked into only as deep as some expression goes; a value is adapted only where an expression touches it.
//
// Data that is not there yet is a [PendingError], which names the missing fields. What is wrong with an expression
// itself is an [Error] with its place; what fails while evaluating is an [EvalError] or a [CostError].
package expr

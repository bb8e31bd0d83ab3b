// Command testreport reads `go test -json` and prints what a person wants of it: one line a package, the output
// of what failed or was skipped, and the count at the end. It fails when a test failed, when none ran, and with
// -require-all when one was skipped.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("testreport", flag.ContinueOnError)
	requireAll := flags.Bool("require-all", false, "a skipped test is a failure")

	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}

	r := report{out: out, kept: map[key][]string{}}
	if err := r.read(in); err != nil {
		return err
	}

	return errors.Join(r.flush(), r.verdict(*requireAll))
}

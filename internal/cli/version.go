package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func newVersion(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print which release this is, and from which source it was built",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				info = &debug.BuildInfo{GoVersion: runtime.Version()}
			}

			if _, err := fmt.Fprintln(streams.Out, version(info)); err != nil {
				return fmt.Errorf("print the version: %w", err)
			}

			return nil
		},
	}
}

// version is one line: release, commit, Go, platform. What the build does not tell is left out.
func version(info *debug.BuildInfo) string {
	release := info.Main.Version
	if release == "" || release == "(devel)" {
		release = "unreleased"
	}

	var commit, modified string

	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = " commit " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " (modified)"
		}
	}

	return fmt.Sprintf("lockstep %s%s%s %s %s/%s",
		release, commit, modified, info.GoVersion, runtime.GOOS, runtime.GOARCH)
}

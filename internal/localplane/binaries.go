package localplane

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The names of the components, which are also the names of their binaries and of their logs.
const (
	etcd              = "etcd"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	kwok              = "kwok"
)

// components lists the components in the order in which they start.
func components() []string {
	return []string{etcd, apiServer, controllerManager, scheduler, kwok}
}

// MissingBinariesError says that no folder holds all the binaries of a control plane.
type MissingBinariesError struct {
	// Tried lists each folder that was looked at, with what it lacks.
	Tried []string
}

// Error names what was tried and how to get the binaries.
func (e *MissingBinariesError) Error() string {
	return fmt.Sprintf("no folder has the control plane's binaries, tried %s; run `make plane` to build them",
		strings.Join(e.Tried, ", "))
}

// FindBinaries returns the absolute path of the folder that holds the binaries of the control plane: explicit when
// it is not empty and nothing else then, otherwise the first complete one of $KUBEBUILDER_ASSETS, the folder
// "plane" beside the running executable (bin/plane for bin/lockstep), and bin/plane in the working directory or
// above it. The error is a [*MissingBinariesError] when none is complete.
func FindBinaries(explicit string) (string, error) {
	candidates, err := binaryFolders(explicit)
	if err != nil {
		return "", err
	}
	var tried []string
	for _, dir := range candidates {
		missing := missingBinaries(dir)
		if len(missing) == 0 {
			return dir, nil
		}
		tried = append(tried, fmt.Sprintf("%s (no %s)", dir, strings.Join(missing, ", ")))
	}

	return "", &MissingBinariesError{Tried: tried}
}

func binaryFolders(explicit string) ([]string, error) {
	if explicit != "" {
		dir, err := filepath.Abs(explicit)
		if err != nil {
			return nil, fmt.Errorf("find the folder of binaries %s: %w", explicit, err)
		}

		return []string{dir}, nil
	}
	var dirs []string
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		dirs = append(dirs, assets)
	}
	if exe, err := os.Executable(); err == nil {
		// A kubectl plugin is often a symbolic link to the command.
		if target, err := filepath.EvalSymlinks(exe); err == nil {
			exe = target
		}
		dirs = append(dirs, filepath.Join(filepath.Dir(exe), "plane"))
	}
	wd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the control plane's binaries: %w", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		dirs = append(dirs, filepath.Join(dir, "bin", "plane"))
		if dir == filepath.Dir(dir) {
			return slices.Compact(dirs), nil
		}
	}
}

func missingBinaries(dir string) []string {
	return slices.DeleteFunc(components(), func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))

		return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
	})
}

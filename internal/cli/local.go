package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lockstep-dev/lockstep/internal/localplane"
)

// localOptions are the flags of the verbs below "lockstep local".
type localOptions struct {
	genericiooptions.IOStreams

	plane   localplane.Options
	detach  bool
	readyFD int // where a detached plane says that it is ready; 0 for none
}

// newLocal returns "lockstep local", which runs a Kubernetes control plane on this machine.
func newLocal(streams genericiooptions.IOStreams) *cobra.Command {
	o := &localOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run a Kubernetes control plane on this machine, without containers",
		Long: `Run a real Kubernetes control plane on this machine, without containers: etcd, the API server, the
controller manager and the scheduler, with fake nodes on which pods become Ready at once. It listens on
loopback only. Its files, and the kubeconfig of its administrator, are in the directory given by --dir.`,
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&o.plane.Dir, "dir", filepath.Join(".lockstep", "local"),
		"directory of the control plane, from the working directory; one runs in each")
	cmd.AddCommand(newLocalUp(o), newLocalStatus(o), newLocalDown(o))

	return cmd
}

func newLocalUp(o *localOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a control plane and run it until Ctrl-C",
		Example: `  lockstep local up
  eval "$(lockstep local up --detach)" && kubectl get nodes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.detach {
				return o.runDetached(cmd.Context())
			}

			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.plane.Nodes, "nodes", 2, "number of fake nodes")
	flags.BoolVar(&o.plane.Keep, "keep", false,
		"write data durably, and keep it for the next start with --keep in the same directory")
	flags.BoolVar(&o.detach, "detach", false, "return when the control plane is ready and leave it running")
	flags.StringVar(&o.plane.Bin, "bin", "", "folder of the control plane's binaries (default $KUBEBUILDER_ASSETS, "+
		"else bin/plane beside this command's repository, else bin/plane in the working directory or above)")
	flags.IntVar(&o.readyFD, "ready-fd", 0, "file descriptor to write a line to when ready")
	_ = flags.MarkHidden("ready-fd") // fails only for a flag that does not exist

	return cmd
}

func newLocalStatus(o *localOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the processes of the control plane; fails unless all of them run",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return o.status() },
	}
}

func newLocalDown(o *localOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the control plane, whoever started it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := localplane.Down(cmd.Context(), o.plane.Dir); err != nil {
				return fmt.Errorf("take the control plane down: %w", err)
			}
			fmt.Fprintln(o.ErrOut, "The control plane is down.")

			return nil
		},
	}
}

// run starts a plane and stays with it until it ends or the context does.
func (o *localOptions) run(ctx context.Context) error {
	var ready *os.File
	if o.readyFD > 0 {
		// The components must not hold it open: its end tells the other side that we have gone.
		syscall.CloseOnExec(o.readyFD)
		ready = os.NewFile(uintptr(o.readyFD), "ready")
	}
	plane, err := localplane.Start(ctx, o.plane)
	if errors.Is(err, localplane.ErrRunning) {
		return o.running(err)
	}
	if err != nil {
		return fmt.Errorf("bring the control plane up: %w", err)
	}
	if ready == nil {
		o.announce(plane.Kubeconfig(), "Ctrl-C ends it")
	} else {
		_, _ = io.WriteString(ready, plane.Kubeconfig()) // who does not listen any more does not care
		_ = ready.Close()
	}
	<-plane.Done()
	// It has stopped: this only asks whether it left something behind.
	if err := errors.Join(plane.Err(), plane.Stop(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("the control plane has stopped: %w", err)
	}

	return nil
}

// runDetached starts this command again in a session of its own, which outlives ours, and returns when the plane is
// ready there.
func (o *localOptions) runDetached(ctx context.Context) error {
	if state, err := localplane.Inspect(o.plane.Dir); err == nil && state.Supervisor.Alive() {
		return o.running(fmt.Errorf("%w in %s", localplane.ErrRunning, o.plane.Dir))
	}
	log, err := openLog(o.plane.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	ready, signal, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe to the detached process: %w", err)
	}
	defer func() { _ = ready.Close() }()
	cmd, err := o.detached(log, signal)
	if err != nil {
		return errors.Join(err, signal.Close())
	}
	if err := errors.Join(cmd.Start(), signal.Close()); err != nil {
		return fmt.Errorf("start the detached process: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	kubeconfig, err := io.ReadAll(ready)
	if !stop() || err != nil || len(kubeconfig) == 0 {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()

		return fmt.Errorf("the detached control plane did not start: %s", said(log.Name()))
	}
	o.announce(string(kubeconfig), "`lockstep local down` ends it")

	return nil
}

// detached returns the command that runs the same plane with its output in the log.
func (o *localOptions) detached(log, ready *os.File) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this command's binary: %w", err)
	}
	args := []string{
		"local", "up", "--dir", o.plane.Dir, "--nodes", strconv.Itoa(o.plane.Nodes),
		"--keep=" + strconv.FormatBool(o.plane.Keep), "--bin", o.plane.Bin, "--ready-fd=3",
	}
	cmd := exec.Command(exe, args...) //nolint:noctx // it is meant to outlive this command
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{ready} // the first of them is descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}

	return cmd, nil
}

// status prints a table of the processes.
func (o *localOptions) status() error {
	state, err := localplane.Inspect(o.plane.Dir)
	if err != nil {
		return fmt.Errorf("look at the control plane: %w", err)
	}
	table := tabwriter.NewWriter(o.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tPID\tSTATE")
	var gone []string
	for _, process := range append([]localplane.Process{state.Supervisor}, state.Components...) {
		word := "running"
		if !process.Alive() {
			word = "gone"
			gone = append(gone, process.Name)
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", process.Name, process.PID, word)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	if len(gone) > 0 {
		return fmt.Errorf("the control plane in %s is not whole: %s gone", o.plane.Dir, strings.Join(gone, ", "))
	}

	return nil
}

// announce says that the plane is ready. Only what a shell may evaluate goes to the standard output.
func (o *localOptions) announce(kubeconfig, end string) {
	fmt.Fprintf(o.ErrOut, "The control plane is ready; %s.\n", end)
	fmt.Fprintf(o.Out, "export KUBECONFIG=%s\n", shellWord(kubeconfig))
}

// running adds what to do to the error that says that a plane runs already.
func (o *localOptions) running(err error) error {
	return fmt.Errorf("%w; end it with `lockstep local down --dir %s` or choose another --dir",
		err, shellWord(o.plane.Dir))
}

// openLog opens a new log for the detached process.
func openLog(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the control plane: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "up.log"), os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of the detached process: %w", err)
	}

	return log, nil
}

// said returns what the detached process wrote before it ended.
func said(log string) string {
	content, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	if text := strings.TrimSpace(string(content)); text != "" {
		return text
	}

	return "it wrote nothing to " + log
}

// shellWord quotes what a shell would not take as one plain word.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}

	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Package plane gives tests a real control plane: one for each test binary, started by the first test that asks for
// it, and a fresh namespace for each test that wants one.
//
//	func TestMain(m *testing.M) { os.Exit(plane.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		c, namespace := plane.Client(t), plane.Namespace(t)
//		…
//	}
//
// Pods become Ready at once; see the annotation [localplane.SimulateAnnotation] for those that must not. A test that
// needs a plane is skipped where its binaries were not built, and fails there when LOCKSTEP_REQUIRE_ALL is 1.
package plane

// Package localstore runs real store servers on this machine, without containers, for tests, demonstrations and
// measurements: the programs of the Debian packages, and the etcd that is built for the local control plane. They listen on
// 127.0.0.1 only, keep nothing that matters, and end with us, in whatever way we end.
//
// What all of them can do is in [Server]: be paused, killed and started again at the same address, as faults in tests
// need it. Each type of store embeds it and adds what its clients have to know:
//
//	s, err := newServer("redis", o)        // directories, port, log
//	…                                      // write configuration, run tools once with s.tool
//	err = s.start(ctx, program{…})         // start it, wait until it is ready
//
// A server that is not installed is a [*MissingServerError], which names the Debian package.
package localstore

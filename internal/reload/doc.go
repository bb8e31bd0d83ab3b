// Package reload understands the annotations of the reload dialect: which changes a workload asks to be
// restarted for, and the markers by which a restart is recorded on it.
//
// [Parse] reads a workload's annotations once for each change of the workload; the [Policy] then answers for
// every changed source by [Policy.Decide]. No value of any annotation makes it fail: what cannot be understood
// becomes a [Problem] for the person in charge, and everything else still counts.
//
// Everything here is values in, values out.
package reload

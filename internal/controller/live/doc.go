// Package live is the dialect of live settings at work: it watches LiveStores, LiveConfigs and what they read, keeps a
// connection to every store, and carries each change in one pass: read, plan, check, apply, read back, and put
// everything back if a part fails.
//
// Values are in memory only for the length of a pass. What has to be known later is in the status, as keyed digests, and in
// an immutable Secret that the LiveConfig owns.
package live

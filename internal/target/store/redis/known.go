package redis

import (
	"math"
	"regexp"
	"strings"
)

// hostname is what may be announced as one.
var hostname = regexp.MustCompile(`^[A-Za-z0-9.-]{0,255}$`)

// known returns the forms of the parameters of Redis 7.0 that can be changed, by their normalised names.
func known() map[string]form {
	forms := map[string]form{
		"client-output-buffer-limit":        buffers{},
		"cluster-announce-hostname":         text{hostname, "takes a name of at most 255 letters, digits, hyphens and dots"},
		"latency-tracking-info-percentiles": percentiles{},
		"notify-keyspace-events":            letters{},
		"oom-score-adj-values": numbers{
			each: []integer{{-2000, 2000}, {-2000, 2000}, {-2000, 2000}},
			says: "takes three whole numbers from -2000 to 2000 with one blank between them",
		},
		"save": numbers{
			each: []integer{{1, math.MaxInt64}, {0, math.MaxInt32}}, repeat: true,
			says: "takes pairs of a number of seconds and a number of changes with one blank between all of them, or nothing",
		},
	}
	add := func(f form, names string) {
		for name := range strings.FieldsSeq(names) {
			forms[name] = f
		}
	}
	add(yesNo{}, `activedefrag activerehashing aof-disable-auto-gc aof-load-truncated aof-rewrite-incremental-fsync
		aof-timestamp-enabled aof-use-rdb-preamble appendonly cluster-allow-pubsubshard-when-down cluster-allow-reads-when-down
		cluster-allow-replica-migration cluster-replica-no-failover cluster-require-full-coverage crash-log-enabled
		crash-memcheck-enabled dynamic-hz jemalloc-bg-thread latency-tracking lazyfree-lazy-eviction lazyfree-lazy-expire
		lazyfree-lazy-server-del lazyfree-lazy-user-del lazyfree-lazy-user-flush no-appendfsync-on-rewrite protected-mode
		rdb-del-sync-files rdb-save-incremental-fsync rdbcompression repl-disable-tcp-nodelay repl-diskless-sync
		replica-announced replica-ignore-disk-write-errors replica-ignore-maxmemory replica-lazy-flush replica-read-only
		replica-serve-stale-data stop-writes-on-bgsave-error tls-cluster tls-prefer-server-ciphers tls-replication
		tls-session-caching`)
	addNumbers(add)
	addWords(add)
	add(text{says: "takes any text"}, `bind bind-source-addr cluster-announce-ip ignore-warnings masterauth masteruser
		proc-title-template replica-announce-ip requirepass tls-ca-cert-dir tls-ca-cert-file tls-cert-file tls-ciphers
		tls-ciphersuites tls-client-cert-file tls-client-key-file tls-client-key-file-pass tls-dh-params-file tls-key-file
		tls-key-file-pass tls-protocols`)

	return forms
}

func addNumbers(add func(form, string)) {
	add(integer{0, math.MaxInt32}, `auto-aof-rewrite-percentage cluster-migration-barrier cluster-replica-validity-factor
		lfu-decay-time lfu-log-factor list-compress-depth min-replicas-max-lag min-replicas-to-write repl-diskless-sync-delay
		repl-diskless-sync-max-replicas replica-priority shutdown-timeout tcp-keepalive timeout tls-session-cache-size
		tls-session-cache-timeout`)
	add(integer{0, math.MaxInt64}, `acllog-max-len busy-reply-threshold cluster-node-timeout hash-max-listpack-entries
		latency-monitor-threshold repl-backlog-ttl set-max-intset-entries slowlog-max-len stream-node-max-entries
		tracking-table-max-keys zset-max-listpack-entries`)
	add(integer{1, math.MaxInt32}, `maxmemory-samples repl-ping-replica-period repl-timeout`)
	add(integer{0, math.MaxUint16}, `cluster-announce-bus-port cluster-announce-port cluster-announce-tls-port port
		replica-announce-port tls-port`)
	add(integer{1, 99}, `active-defrag-cycle-max active-defrag-cycle-min`)
	add(integer{0, 1000}, `active-defrag-threshold-lower active-defrag-threshold-upper`)
	add(integer{1, 10}, `active-expire-effort`)
	add(integer{0, 100}, `maxmemory-eviction-tenacity`)
	add(integer{1, math.MaxInt64}, `active-defrag-max-scan-fields`)
	add(integer{-1, math.MaxInt64}, `slowlog-log-slower-than`)
	add(integer{math.MinInt32, math.MaxInt32}, `list-max-listpack-size`)
	add(integer{1, math.MaxInt32}, `maxclients`) // beyond, the server counts wrong
	add(integer{1, 500}, `hz`)                   // the server takes others, and makes them these

	add(memory{highest: math.MaxInt64}, `auto-aof-rewrite-min-size hash-max-listpack-value hll-sparse-max-bytes
		stream-node-max-bytes zset-max-listpack-value`)
	add(memory{lowest: 1, highest: math.MaxInt64}, `active-defrag-ignore-bytes`)
	add(memory{lowest: 16 << 10, highest: math.MaxInt64}, `repl-backlog-size`) // the server makes less to this
	add(memory{lowest: 1 << 20, highest: math.MaxInt64}, `client-query-buffer-limit proto-max-bulk-len`)
	add(memory{highest: math.MaxUint64}, `maxmemory cluster-link-sendbuf-limit`)
	add(memory{highest: math.MaxInt64, percent: true}, `maxmemory-clients`) // the server counts beyond as percentages
}

func addWords(add func(form, string)) {
	words := func(names string) enum { return enum{words: strings.Fields(names)} }
	add(words("allchannels resetchannels"), "acl-pubsub-default")
	add(words("everysec always no"), "appendfsync")
	add(words("ip hostname unknown-endpoint"), "cluster-preferred-endpoint-type")
	add(words("debug verbose notice warning"), "loglevel")
	add(words("volatile-lru volatile-lfu volatile-random volatile-ttl allkeys-lru allkeys-lfu allkeys-random noeviction"),
		"maxmemory-policy")
	add(enum{strings.Fields("no yes relative absolute"), map[string]string{"relative": "yes"}}, "oom-score-adj")
	add(words("ignore panic panic-on-replicas"), "propagation-error-behavior")
	add(words("disabled on-empty-db swapdb"), "repl-diskless-load")
	add(words("no yes clients"), "sanitize-dump-payload")
	add(words("no yes optional"), "tls-auth-clients")
	add(flags{strings.Fields("default save nosave now force"), "default", [2]string{"save", "nosave"}},
		"shutdown-on-sigint shutdown-on-sigterm")
}

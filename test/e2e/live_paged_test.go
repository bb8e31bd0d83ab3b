package e2e

import (
	"strings"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store/postgres"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// paged shows that Ready, which is what people look at, tells the reason that the guide's table has and what is to be done about.
func (w *liveWorld) paged() {
	cache := stores.OwnRedis(w, localstore.RedisOptions{})
	w.store("cache", lockstepv1alpha1.StoreRedis, cache.Addr(), "", "")
	w.manage()

	l := w.liveConfig("sizes")
	l.Spec.Settings = []lockstepv1alpha1.LiveSetting{setting("cache", "maxmemory", "sizes", "memory")}
	w.create(l)
	w.ready("sizes", "False/SourceMissing: maxmemory waits: Secret sizes does not exist")

	w.put("sizes", map[string]string{"memory": "lots"})
	w.ready("sizes", "False/Refused: maxmemory takes a number of bytes")

	w.put("sizes", map[string]string{"memory": "64mb"})
	w.ready("sizes", "True/Ready")

	w.must(cache.Kill())
	w.put("sizes", map[string]string{"memory": "65mb"})
	w.ready("sizes", "False/StoreUnavailable: maxmemory waits for LiveStore cache, which cannot be used")

	w.must(cache.Restart(w.Context()))
	w.ready("sizes", "True/Ready")
	w.lets("sizes")
}

// granted shows that a right which is missing is named, and that it is used once it is there: with PostgreSQL by itself, with
// others when the LiveStore is edited.
func (w *liveWorld) granted() {
	db, secret := stores.OwnPostgres(w, localstore.PostgresOptions{}), w.password()
	w.postgresRun(db, "CREATE ROLE lockstep LOGIN PASSWORD '"+secret+"'")
	w.store("cache", lockstepv1alpha1.StorePostgreSQL, db.Addr(), "lockstep", secret)
	w.manage()
	w.put("sizes", map[string]string{"work": "9MB"})

	l := w.liveConfig("sizes")
	l.Spec.Settings = []lockstepv1alpha1.LiveSetting{setting("cache", "work_mem", "sizes", "work")}
	w.create(l)
	w.ready("sizes", "False/Refused: work_mem needs rights that lockstep does not have: GRANT ALTER SYSTEM ON PARAMETER")
	w.postgresRun(db, postgres.Grants("lockstep", []live.Setting{{Name: "work_mem"}})...)
	w.ready("sizes", "True/Ready")

	redis := stores.OwnRedis(w, localstore.RedisOptions{})
	w.redisRun(redis, "ACL", "SETUSER", "lockstep", "on", ">"+secret, "+config|get", "+info")
	w.store("sessions", lockstepv1alpha1.StoreRedis, redis.Addr(), "lockstep", secret)

	l = w.liveConfig("sessions")
	value := "64mb"
	l.Spec.StoreRef = &lockstepv1alpha1.StoreReference{Name: "sessions"}
	l.Spec.Settings = []lockstepv1alpha1.LiveSetting{{Name: "maxmemory", Value: &value}}
	w.create(l)
	w.ready("sessions", "False/Refused: sessions: maxmemory cannot be set: the user lockstep has no right")
	w.redisRun(redis, "ACL", "SETUSER", "lockstep", "+config|set")
	w.merge(w.liveStore("sessions"), `{"spec":{"probeInterval":"2s"}}`)
	w.ready("sessions", "True/Ready")
}

// ready waits until the condition Ready of a LiveConfig begins so. Which store it is goes without saying where there is one.
func (w *liveWorld) ready(name, prefix string) {
	w.Helper()
	w.config(name, "to say "+prefix, func(l *lockstepv1alpha1.LiveConfig) bool {
		said := strings.Replace(says(l.Status.Conditions, "Ready"), "cache: ", "", 1)

		return l.Status.ObservedGeneration == l.Generation && strings.HasPrefix(said, prefix)
	})
}

package reload

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockstep-dev/lockstep/internal/refs"
)

// What each kind of annotation accepts, for a [Problem].
const (
	acceptedBool     = "true or false"
	acceptedList     = "names or Go regular expressions, separated by commas (a comma always separates)"
	acceptedDuration = "a duration of zero or more, such as 30s, 5m or 1h30m"
	acceptedFilter   = "entries such as cm/NAME=KEY,KEY or secret/NAME=KEY, separated by semicolons or line breaks"
)

// Parse reads what a workload asks for from the annotations of its metadata and of its pod template; for a
// CronJob the latter is the template of its Jobs' pods. The problems come in a fixed order, each once; what
// they name is left out of the policy, or taken for the setting that misses no change.
func Parse(meta, template map[string]string, o Options) (*Policy, []Problem) {
	p := parser{meta: meta, template: template, options: o}
	policy := &Policy{Restart: meta[o.Keys.RolloutStrategy] == "restart"}

	for _, kind := range []refs.Kind{refs.ConfigMap, refs.Secret, refs.SecretProviderClass} {
		if r, ok := p.rule(kind); ok {
			if policy.rules == nil {
				policy.rules = map[refs.Kind]rule{}
			}

			policy.rules[kind] = r
		}
	}

	// A pause belongs to the Deployment itself, so its template has no say.
	if period, ok := p.duration(o.Keys.PausePeriod, meta); ok {
		policy.PausePeriod = period
	}

	if interval, ok := p.duration(MinIntervalKey, p.side(MinIntervalKey)); ok {
		policy.MinInterval = &interval
	}

	policy.keys = p.filter(p.side(FilterKey)[FilterKey])

	return policy, p.problems
}

// parser reads one workload's annotations and collects what it cannot understand.
type parser struct {
	meta, template map[string]string
	options        Options
	problems       []Problem
}

// side is the set of annotations that counts for some keys: the metadata as soon as it has one of them, with
// whatever value, else the pod template. The two are never mixed.
func (p *parser) side(keys ...string) map[string]string {
	for _, key := range keys {
		if _, ok := p.meta[key]; ok {
			return p.meta
		}
	}

	return p.template
}

// rule reads what is asked for one kind of source, and whether that is anything.
func (p *parser) rule(kind refs.Kind) (rule, bool) {
	k, t := p.options.Keys, p.options.Keys.of(kind)
	set := p.side(t.reload, k.Search, k.Auto, t.auto)

	var r rule

	r.literals, r.patterns = p.list(t.reload, set[t.reload])
	r.search = set[k.Search] == exactlyTrue

	// Both are read, so that a problem of the second is not hidden by the first.
	auto, typedAuto := p.boolean(k.Auto, set), p.boolean(t.auto, set)
	r.auto = auto || typedAuto
	r.all = p.options.AutoReloadAll && set[k.Auto] == "" && set[t.auto] == ""

	// Excluding errs on the quiet side by the workload's own word, wherever that was written.
	r.excluded = append(items(p.meta[t.exclude]), items(p.template[t.exclude])...)

	return r, len(r.excluded)+len(r.literals)+len(r.patterns) > 0 || r.byUse()
}

// list reads a list of sources: plain names and expressions. An expression is anchored but not grouped, so
// that "a|b" matches every name that begins with a or ends with b: users have such lists.
func (p *parser) list(key, value string) ([]string, []*regexp.Regexp) {
	var (
		literals []string
		patterns []*regexp.Regexp
	)

	for _, item := range items(value) {
		if regexp.QuoteMeta(item) == item && utf8.ValidString(item) {
			literals = append(literals, item)

			continue
		}

		pattern, err := regexp.Compile("^" + item + "$")
		if err != nil {
			p.report(newProblem(key, item, acceptedList))

			continue
		}

		patterns = append(patterns, pattern)
	}

	return literals, patterns
}

func (p *parser) boolean(key string, set map[string]string) bool {
	value := set[key]
	if value == "" {
		return false
	}

	result, err := strconv.ParseBool(value)
	if err != nil {
		p.report(newProblem(key, value, acceptedBool))
	}

	return result
}

// duration reads a duration, and whether there is one to go by.
func (p *parser) duration(key string, set map[string]string) (time.Duration, bool) {
	value, ok := set[key]
	if !ok {
		return 0, false
	}

	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		p.report(newProblem(key, value, acceptedDuration))

		return 0, false
	}

	return d, true
}

// report keeps a problem, once: the same annotation is read for each kind of source.
func (p *parser) report(problem Problem) {
	if !slices.Contains(p.problems, problem) {
		p.problems = append(p.problems, problem)
	}
}

// items are the parts between commas, trimmed; the empty ones name nothing and are left out.
func items(value string) []string {
	var found []string

	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			found = append(found, item)
		}
	}

	return found
}

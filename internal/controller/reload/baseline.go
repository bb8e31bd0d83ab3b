package reload

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
)

// The baseline is kept in a few ConfigMaps of the manager's namespace, a namespace of sources to a data key.
const (
	baselinePrefix = "lockstep-reload-baseline-"
	baselineLabel  = "lockstep.dev/record"
	baselineValue  = "reload-baseline"
	baselineShards = 8
	// baselineDelay gathers the changes of a burst into one write. A crash within it costs nothing: the markers
	// on the workloads tell what was carried.
	baselineDelay = 2 * time.Second
	// baselineRetry is the pause after a failed write.
	baselineRetry = 15 * time.Second
)

// baseline is the durable baseline: what every source held that somebody depends on, when it had last been
// carried to everybody. It is safe for concurrent use. See docs/adr/0003-baseline.md.
type baseline struct {
	client    client.Client
	namespace string
	clock     clock.Clock

	mu      sync.Mutex
	entries map[refs.Key]entry
	shards  [baselineShards]shard
	dirty   chan struct{}
}

// entry is what is recorded of one source: its digests, of its keys only those that some workload filters by, and
// how many keys it had.
type entry struct {
	digest.Content

	Size int
}

// shard is one ConfigMap.
type shard struct {
	dirty           bool
	resourceVersion string
}

func newBaseline(c client.Client, namespace string, clk clock.Clock) *baseline {
	return &baseline{
		client: c, namespace: namespace, clock: clk,
		entries: map[refs.Key]entry{}, dirty: make(chan struct{}, 1),
	}
}

// load reads what was recorded, and tells whether anything ever was.
func (b *baseline) load(ctx context.Context) (bool, error) {
	list := &corev1.ConfigMapList{}
	if err := b.client.List(ctx, list, client.InNamespace(b.namespace), client.MatchingLabels{baselineLabel: baselineValue}); err != nil {
		return false, fmt.Errorf("read the baseline in namespace %s: %w", b.namespace, err)
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	for i := range list.Items {
		cm := &list.Items[i]

		n := slices.IndexFunc(shardNames(), func(name string) bool { return name == cm.Name })
		if n < 0 {
			continue
		}

		b.shards[n].resourceVersion = cm.ResourceVersion

		for namespace, text := range cm.Data {
			maps.Copy(b.entries, decodeEntries(namespace, text))
		}
	}

	return len(list.Items) > 0, nil
}

// get is what was recorded of the source.
func (b *baseline) get(key refs.Key) (entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()

	c, ok := b.entries[key]

	return c, ok
}

// keys are the sources of which something was recorded.
func (b *baseline) keys() []refs.Key {
	b.mu.Lock()
	defer b.mu.Unlock()

	return slices.Collect(maps.Keys(b.entries))
}

// set records the source's content; keys are those of it that some workload filters by.
func (b *baseline) set(key refs.Key, content digest.Content, keys []string) {
	e := entry{Content: content, Size: len(content.Keys)}

	e.Keys = slices.DeleteFunc(slices.Clone(content.Keys), func(k digest.KeySum) bool { return !slices.Contains(keys, k.Name) })
	if len(keys) == 0 {
		e.Keys = nil
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	if known, ok := b.entries[key]; ok && known.Whole == e.Whole && known.Compatible == e.Compatible &&
		known.Size == e.Size && slices.Equal(known.Keys, e.Keys) {
		return
	}

	b.entries[key] = e
	b.touch(key)
}

// remove forgets a source that nobody depends on, or that is gone.
func (b *baseline) remove(key refs.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if _, ok := b.entries[key]; !ok {
		return
	}

	delete(b.entries, key)
	b.touch(key)
}

func (b *baseline) touch(key refs.Key) {
	b.shards[shardOf(key)].dirty = true

	select {
	case b.dirty <- struct{}{}:
	default:
	}
}

// run writes what changed, a little later, until the context ends. What was found at the start is written at once:
// until then nothing tells of a change to workloads without a marker. Failed writes are retried with the next ones
// and after a back-off.
func (b *baseline) run(ctx context.Context, failed func(error)) {
	delay := baselineDelay
	if len(b.dirty) > 0 {
		delay = 0
	}

	for {
		select {
		case <-ctx.Done():
			return
		case <-b.dirty:
		}

		select {
		case <-ctx.Done():
			return
		case <-b.clock.After(delay):
		}

		delay = baselineDelay

		if err := b.flush(ctx); err != nil {
			failed(err)

			delay = baselineRetry

			select {
			case b.dirty <- struct{}{}:
			default:
			}
		}
	}
}

// flush writes every shard that changed.
func (b *baseline) flush(ctx context.Context) error {
	var errs []error

	for n := range baselineShards {
		if err := b.write(ctx, n); err != nil {
			errs = append(errs, err)
		}
	}

	return errors.Join(errs...)
}

func (b *baseline) write(ctx context.Context, n int) error {
	cm := b.take(n)
	if cm == nil {
		return nil
	}

	var err error
	if cm.ResourceVersion == "" {
		err = b.client.Create(ctx, cm)
	} else {
		err = b.client.Update(ctx, cm)
	}

	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		// Somebody else wrote or removed it. We lead, so what we know replaces it.
		err = b.overwrite(ctx, cm)
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	if err != nil {
		b.shards[n].dirty = true

		return fmt.Errorf("write the baseline %s/%s: %w", b.namespace, cm.Name, err)
	}

	b.shards[n].resourceVersion = cm.ResourceVersion

	return nil
}

func (b *baseline) overwrite(ctx context.Context, cm *corev1.ConfigMap) error {
	now := &corev1.ConfigMap{}

	err := b.client.Get(ctx, client.ObjectKeyFromObject(cm), now)
	cm.ResourceVersion = now.ResourceVersion

	switch {
	case apierrors.IsNotFound(err):
		cm.ResourceVersion = ""

		return b.client.Create(ctx, cm) //nolint:wrapcheck // the caller names the object
	case err != nil:
		return err //nolint:wrapcheck // the caller names the object
	}

	return b.client.Update(ctx, cm) //nolint:wrapcheck // the caller names the object
}

// take is the shard as it has to be written; nil when it has not changed.
func (b *baseline) take(n int) *corev1.ConfigMap {
	b.mu.Lock()
	defer b.mu.Unlock()

	if !b.shards[n].dirty {
		return nil
	}

	b.shards[n].dirty = false

	lines := map[string][]string{}

	for key, content := range b.entries {
		if shardOf(key) == n {
			lines[key.Namespace] = append(lines[key.Namespace], encodeEntry(key, content))
		}
	}

	data := make(map[string]string, len(lines))

	for namespace, l := range lines {
		slices.Sort(l)
		data[namespace] = strings.Join(l, "\n")
	}

	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: b.namespace, Name: shardNames()[n], ResourceVersion: b.shards[n].resourceVersion,
			Labels: map[string]string{baselineLabel: baselineValue, "app.kubernetes.io/managed-by": "lockstep"},
		},
		Data: data,
	}
}

func shardOf(key refs.Key) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key.String()))

	return int(h.Sum32() % baselineShards)
}

func shardNames() []string {
	names := make([]string, baselineShards)
	for n := range names {
		names[n] = fmt.Sprintf("%s%d", baselinePrefix, n)
	}

	return names
}

// encodeEntry is one line: the source, its digest, its compatible hash, its number of keys, and a digest for every key
// that counts.
func encodeEntry(key refs.Key, e entry) string {
	fields := []string{key.Local(), e.Whole.String(), hex.EncodeToString(e.Compatible[:]), strconv.Itoa(e.Size)}
	for _, k := range e.Keys {
		fields = append(fields, k.Name+"="+k.Sum.String())
	}

	return strings.Join(fields, " ")
}

// decodeEntries reads the lines of one namespace. A line that cannot be read is as if it had never been written:
// the markers on the workloads remain.
func decodeEntries(namespace, text string) map[refs.Key]entry {
	entries := map[refs.Key]entry{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, len(text)+1)

	for lines.Scan() {
		if key, content, ok := decodeLine(namespace, lines.Text()); ok {
			entries[key] = content
		}
	}

	return entries
}

func decodeLine(namespace, line string) (refs.Key, entry, bool) {
	const fixed = 4

	fields := strings.Fields(line)
	if len(fields) < fixed {
		return refs.Key{}, entry{}, false
	}

	var e entry

	key, known := refs.ParseLocal(namespace, fields[0])
	whole, err := digest.ParseSum(fields[1])
	compatible, hexErr := hex.DecodeString(fields[2])
	size, sizeErr := strconv.Atoi(fields[3])

	if !known || errors.Join(err, hexErr, sizeErr) != nil || len(compatible) != len(e.Compatible) {
		return refs.Key{}, entry{}, false
	}

	e.Whole, e.Size = whole, size
	copy(e.Compatible[:], compatible)

	for _, f := range fields[fixed:] {
		name, text, _ := strings.Cut(f, "=")
		if sum, err := digest.ParseSum(text); err == nil {
			e.Keys = append(e.Keys, digest.KeySum{Name: name, Sum: sum})
		}
	}

	slices.SortFunc(e.Keys, func(a, b digest.KeySum) int { return cmp.Compare(a.Name, b.Name) })

	return key, e, true
}

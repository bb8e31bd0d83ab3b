package cli

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/graph/applyset"
)

// showing turns objects into texts that people can read and compare, without the content of Secrets.
type showing struct {
	// key makes the digests of Secrets useless for guessing their content.
	key []byte
}

// text is the object without what the server and the manager keep in it for themselves.
func (s showing) text(o *unstructured.Unstructured) (string, error) {
	if o == nil {
		return "", nil
	}

	o = o.DeepCopy()
	delete(o.Object, "status")

	for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}

	annotations := o.GetAnnotations()
	delete(annotations, applyset.AnnotationApplied)
	// It has the whole object once more, with what must not be shown.
	delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")

	o.SetAnnotations(annotations)

	if len(annotations) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
	}

	if o.GetKind() == "Secret" && o.GroupVersionKind().Group == "" {
		s.conceal(o, "data")
		s.conceal(o, "stringData")
	}

	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", titleOf(o), err)
	}

	return string(text), nil
}

// conceal puts digests in place of values.
func (s showing) conceal(o *unstructured.Unstructured, field string) {
	values, _, _ := unstructured.NestedMap(o.Object, field)
	for key, value := range values {
		mac := hmac.New(sha256.New, s.key)
		fmt.Fprint(mac, value)
		values[key] = "digest:" + hex.EncodeToString(mac.Sum(nil)[:6])
	}

	if len(values) > 0 {
		o.Object[field] = values
	}
}

// edit is a line that stays, goes or comes.
type edit struct {
	mark byte // ' ', '-' or '+'
	line string
}

// context is how many lines around a change are shown.
const around = 3

// unified is the difference of two texts as people know it, without a head. Equal texts have none.
func unified(before, after string) string {
	edits := compareLines(linesOf(before), linesOf(after))

	var b strings.Builder

	for start := 0; start < len(edits); {
		if edits[start].mark == ' ' {
			start++

			continue
		}

		end, last := start, start

		for end < len(edits) && end-last <= 2*around {
			if edits[end].mark != ' ' {
				last = end
			}

			end++
		}

		from, to := max(start-around, 0), min(last+around+1, len(edits))
		hunk(&b, edits, from, to)
		start = to
	}

	return b.String()
}

// hunk writes the edits from one to another, with the lines' numbers.
func hunk(b *strings.Builder, edits []edit, from, to int) {
	tally := func(edits []edit, mark byte) int {
		n := 0

		for _, e := range edits {
			if e.mark == ' ' || e.mark == mark {
				n++
			}
		}

		return n
	}

	fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n",
		tally(edits[:from], '-')+1, tally(edits[from:to], '-'), tally(edits[:from], '+')+1, tally(edits[from:to], '+'))

	for _, e := range edits[from:to] {
		fmt.Fprintf(b, "%c%s\n", e.mark, e.line)
	}
}

func linesOf(text string) []string {
	if text == "" {
		return nil
	}

	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// compareLines finds the fewest edits that make the one of the other.
func compareLines(before, after []string) []edit {
	var edits, tail []edit

	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		edits = append(edits, edit{' ', before[0]})
		before, after = before[1:], after[1:]
	}

	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		tail = append(tail, edit{' ', before[len(before)-1]})
		before, after = before[:len(before)-1], after[:len(after)-1]
	}

	common := commonLines(before, after)

	for i, j := 0, 0; i < len(before) || j < len(after); {
		switch {
		case i < len(before) && j < len(after) && before[i] == after[j]:
			edits = append(edits, edit{' ', before[i]})
			i, j = i+1, j+1
		case j == len(after) || i < len(before) && common[i+1][j] >= common[i][j+1]:
			edits = append(edits, edit{'-', before[i]})
			i++
		default:
			edits = append(edits, edit{'+', after[j]})
			j++
		}
	}

	for i := range tail {
		edits = append(edits, tail[len(tail)-1-i])
	}

	return edits
}

// commonLines has at [i][j] how many lines before[i:] and after[j:] have in common, in order.
func commonLines(before, after []string) [][]int {
	common := make([][]int, len(before)+1)
	for i := range common {
		common[i] = make([]int, len(after)+1)
	}

	for i := range slices.Backward(before) {
		for j := len(after) - 1; j >= 0; j-- {
			if before[i] == after[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}

	return common
}

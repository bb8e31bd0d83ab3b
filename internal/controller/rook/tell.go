package rook

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live/rook"
)

// maxNote is what the server takes as the text of an event.
const maxNote = 1024

// tell makes an event, and a line in the log, of each notice that there was not last time.
func (c *Controller) tell(p *place, notices []rook.Notice) {
	now := map[rook.Notice]bool{}

	for _, n := range notices {
		if !now[n] && !p.told[n] {
			about := reference(n.About)
			about.FieldPath = n.Field
			c.Events.Eventf(about, related(n), eventType(n.Warning), string(n.Reason), "Translate", "%s", shortened(n.Message))
			c.Log.Info("an object of Rook is not served as it may be meant", "kind", n.About.Kind,
				"namespace", n.About.Namespace, "name", n.About.Name, "reason", n.Reason, "message", n.Message)
		}

		now[n] = true
	}

	p.told = now
}

// mirror makes events of how far the LiveConfigs are, on the objects of Rook that they are for. The first time, that all is
// well has been told by who was here before; that it is not is worth telling twice.
func (c *Controller) mirror(p *place, followed map[string]rook.Reference, configs map[string]*lockstepv1alpha1.LiveConfig) {
	verdicts := map[types.UID]rook.Verdict{}

	for name, about := range followed {
		config := configs[name]
		now := rook.VerdictOf(config)
		former, known := p.verdicts[config.UID]

		if !known && !p.visited && now.Status != metav1.ConditionFalse {
			former = now
		}

		verdicts[config.UID] = now

		if now.News(former) {
			// The version keeps two events from being counted as one.
			c.Events.Eventf(reference(about), &corev1.ObjectReference{
				APIVersion: lockstepv1alpha1.GroupVersion().String(), Kind: rook.KindLiveConfig,
				Namespace: config.Namespace, Name: config.Name, UID: config.UID, ResourceVersion: config.ResourceVersion,
			}, eventType(now.Status == metav1.ConditionFalse), now.Reason, "Apply",
				"%s", shortened(now.Text(name)))
		}
	}

	p.verdicts = verdicts
}

func reference(r rook.Reference) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: rook.GroupVersion().String(), Kind: string(r.Kind), Namespace: r.Namespace, Name: r.Name, UID: r.UID,
	}
}

// related is the other object of a notice; nil when there is none.
func related(n rook.Notice) runtime.Object {
	if n.Related == (rook.Related{}) {
		return nil
	}

	version := "v1"

	switch n.Related.Kind {
	case rook.KindLiveStore, rook.KindLiveConfig:
		version = lockstepv1alpha1.GroupVersion().String()
	case string(rook.KindCluster), string(rook.KindObjectStore):
		version = rook.GroupVersion().String()
	}

	return &corev1.ObjectReference{APIVersion: version, Kind: n.Related.Kind, Namespace: n.About.Namespace, Name: n.Related.Name}
}

func eventType(warning bool) string {
	if warning {
		return corev1.EventTypeWarning
	}

	return corev1.EventTypeNormal
}

// shortened cuts off what the server would not take.
func shortened(text string) string {
	const more = "…"
	if len(text) <= maxNote {
		return text
	}

	return strings.ToValidUTF8(text[:maxNote-len(more)], "") + more
}

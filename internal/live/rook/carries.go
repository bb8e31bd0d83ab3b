package rook

import (
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// carriesStore says whether a LiveStore says what it has to. Its other fields are anybody's.
func carriesStore(have, want *lockstepv1alpha1.LiveStoreSpec) bool {
	return have.Type == want.Type && slices.Equal(have.Endpoints, want.Endpoints) &&
		have.Credentials != nil && *have.Credentials == *want.Credentials
}

// carriesConfig says whether a LiveConfig says what it has to. Its other fields, such as checks, are anybody's.
func carriesConfig(have, want *lockstepv1alpha1.LiveConfigSpec) bool {
	return have.StoreRef != nil && *have.StoreRef == *want.StoreRef &&
		have.Policy.OnRemove == want.Policy.OnRemove &&
		have.Policy.Atomicity == want.Policy.Atomicity &&
		have.Policy.RestartRequired == want.Policy.RestartRequired &&
		apiequality.Semantic.DeepEqual(have.Settings, want.Settings)
}

package manager

import (
	"context"
	"runtime/debug"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	reloadcontroller "github.com/lockstep-dev/lockstep/internal/controller/reload"
)

// metaInfo publishes the build and the settings once, by every replica: whoever started last is described. It is
// not worth stopping for.
type metaInfo struct {
	client        client.Client
	configuration *configv1alpha1.LockstepConfiguration
	log           logr.Logger
}

// NeedLeaderElection lets every replica publish.
func (metaInfo) NeedLeaderElection() bool { return false }

// Start publishes and returns.
func (m metaInfo) Start(ctx context.Context) error {
	build, _ := debug.ReadBuildInfo()
	cm := reloadcontroller.MetaInfo(m.configuration, build)

	err := m.client.Create(ctx, cm)
	if apierrors.IsAlreadyExists(err) {
		err = m.client.Update(ctx, cm)
	}

	if err != nil {
		m.log.Error(err, "the build and the settings could not be published; the manager needs create and update on configmaps there",
			"namespace", cm.Namespace, "configmap", cm.Name)
	}

	return nil
}

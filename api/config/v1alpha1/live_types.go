package v1alpha1

// LiveConfiguration configures the dialect "live".
type LiveConfiguration struct {
	// Workers is how many LiveConfigs are handled at the same time: they mostly wait for stores. Default 256.
	Workers int `json:"workers,omitempty"`
	// StoreConcurrency is how many calls one store gets at the same time. Default 64.
	StoreConcurrency int `json:"storeConcurrency,omitempty"`
	// Rook is "on" or "off": whether CephClusters and CephObjectStores of Rook that name a Secret with settings are
	// served like LiveConfigs. Default "off".
	Rook Switch `json:"rook,omitempty"`
	// Retry is how a pass that failed is tried again. Default: 1s, up to 5m.
	Retry Retry `json:"retry,omitzero"`
}

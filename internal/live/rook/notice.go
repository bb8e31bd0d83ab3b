package rook

// Reason is the reason of an event on an object of Rook.
type Reason string

// The reasons of what people should know besides how far a LiveConfig is.
const (
	// ReasonInvalidSetting: a setting cannot be read and is left out.
	ReasonInvalidSetting Reason = "InvalidSetting"
	// ReasonSettingOverruled: a setting is also given in clear, which wins.
	ReasonSettingOverruled Reason = "SettingOverruled"
	// ReasonSettingIneffective: a setting is for a section that no daemon reads.
	ReasonSettingIneffective Reason = "SettingIneffective"
	// ReasonTooManySettings: there are more settings than a LiveConfig holds.
	ReasonTooManySettings Reason = "TooManySettings"
	// ReasonInvalidAnnotation: an annotation has a value that means nothing.
	ReasonInvalidAnnotation Reason = "InvalidAnnotation"
	// ReasonNameTaken: an object that is somebody else's has the name that ours would have.
	ReasonNameTaken Reason = "NameTaken"
	// ReasonSecondCluster: another CephCluster in the namespace is older.
	ReasonSecondCluster Reason = "SecondCluster"
	// ReasonNoCluster: the namespace of an object store has no CephCluster.
	ReasonNoCluster Reason = "NoCluster"
	// ReasonWaitingForMonitors: Rook does not list any monitor yet.
	ReasonWaitingForMonitors Reason = "WaitingForMonitors"
	// ReasonWaitingForLogin: the Secret with the login is not there yet.
	ReasonWaitingForLogin Reason = "WaitingForLogin"
	// ReasonInvalidMonitor: the address of a monitor cannot be read.
	ReasonInvalidMonitor Reason = "InvalidMonitor"
	// ReasonNoLogin: the Secret with the login has no user or no key.
	ReasonNoLogin Reason = "NoLogin"
	// ReasonWriteFailed: the server does not take our object; it is tried again.
	ReasonWriteFailed Reason = "WriteFailed"
)

// Notice is something that people should know about an object of Rook. It has nothing of a Secret's values in it, and can be
// compared.
type Notice struct {
	About Reference
	// Related is the other object that it is about; the zero Related when there is none.
	Related Related
	// Field of the object that it is about; empty for the whole.
	Field string
	// Warning says that somebody should do something.
	Warning bool
	Reason  Reason
	Message string
}

// Related names another object in the same namespace.
type Related struct{ Kind, Name string }

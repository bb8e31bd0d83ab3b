package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LiveStore says how to reach and log in to one running store, and which of its settings may be changed.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,path=livestores,categories=lockstep
// +kubebuilder:printcolumn:name="TYPE",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="READY",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="MESSAGE",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="AGE",type=date,JSONPath=`.metadata.creationTimestamp`
type LiveStore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +required
	Spec   LiveStoreSpec   `json:"spec,omitzero"`
	Status LiveStoreStatus `json:"status,omitzero"`
}

// LiveStoreList is a list of stores.
//
// +kubebuilder:object:root=true
type LiveStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []LiveStore `json:"items"`
}

// StoreType is the kind of a store.
//
// +kubebuilder:validation:Enum=Ceph;PostgreSQL;Redis;MySQL;Etcd;HTTP
type StoreType string

// The types of stores.
const (
	// StoreCeph is the configuration database of Ceph's monitors.
	StoreCeph StoreType = "Ceph"
	// StorePostgreSQL is PostgreSQL: ALTER SYSTEM, ALTER DATABASE and ALTER ROLE.
	StorePostgreSQL StoreType = "PostgreSQL"
	// StoreRedis is Redis and Valkey: CONFIG SET and ACL SETUSER.
	StoreRedis StoreType = "Redis"
	// StoreMySQL is MySQL and MariaDB: SET GLOBAL, and on MySQL SET PERSIST.
	StoreMySQL StoreType = "MySQL"
	// StoreEtcd is keys of etcd.
	StoreEtcd StoreType = "Etcd"
	// StoreHTTP is an HTTP endpoint that takes, or reloads, a configuration.
	StoreHTTP StoreType = "HTTP"
)

// LiveStoreSpec says how to reach a store.
//
// +kubebuilder:validation:XValidation:rule="has(self.endpoints) != has(self.service)",message="give either endpoints or service"
// +kubebuilder:validation:XValidation:rule="self.type == oldSelf.type",message="type is immutable: what was recorded of one store means nothing to another"
// +kubebuilder:validation:XValidation:rule="(self.type == 'HTTP') == has(self.http)",message="http goes with type HTTP, and type HTTP needs it"
// +kubebuilder:validation:XValidation:rule="!has(self.database) || self.type in ['PostgreSQL', 'Redis', 'MySQL']",message="database goes with type PostgreSQL, Redis or MySQL"
// +kubebuilder:validation:XValidation:rule="!has(self.persist) || self.type in ['Redis', 'MySQL']",message="persist goes with type Redis or MySQL: the other stores always keep what is set"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || self.type != 'Ceph'",message="tls does not go with type Ceph: its own protocol authenticates and encrypts"
// +kubebuilder:validation:XValidation:rule="self.type != 'Ceph' || has(self.credentials)",message="type Ceph needs credentials: an entity such as client.lockstep and its key"
type LiveStoreSpec struct {
	// Type of the store.
	//
	// +required
	Type StoreType `json:"type"`
	// Endpoints are where the store listens: host:port; for HTTP a URL such as http://10.0.0.5:9090; for Ceph an
	// address as in mon_host, such as 10.0.0.5:3300 or [v2:10.0.0.5:3300/0]. For Ceph and Etcd all of them are one store; for
	// the other types each is a node with settings of its own, and all nodes get the same.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Endpoints []string `json:"endpoints,omitempty"`
	// Service is a Service in the same namespace by which the store is reached, instead of endpoints.
	//
	// +optional
	Service *ServiceReference `json:"service,omitempty"`
	// Credentials are read from a Secret in the same namespace, and read again when it changes.
	//
	// +optional
	Credentials *StoreCredentials `json:"credentials,omitempty"`
	// TLS makes connections use TLS. Without it they are in clear.
	//
	// +optional
	TLS *StoreTLS `json:"tls,omitempty"`
	// Database to connect to. PostgreSQL: default "postgres". Redis: the number, default 0.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Database string `json:"database,omitempty"`
	// Persist makes the store keep what is set beyond its restart: Redis by CONFIG REWRITE, MySQL by SET PERSIST. MariaDB
	// cannot. Without it a restart of the store loses the values until the next look at it.
	//
	// +optional
	Persist bool `json:"persist,omitempty"`
	// Settings say which settings may be changed.
	//
	// +optional
	Settings StoreSettings `json:"settings,omitzero"`
	// Timeouts bound what is asked of the store.
	//
	// +optional
	Timeouts StoreTimeouts `json:"timeouts,omitzero"`
	// ProbeInterval is the time between two looks for changes that somebody else made, for a store that does not tell of
	// them itself. "0s" for none. Default "1m".
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration('0s') || duration(self) >= duration('1s')",message="probeInterval is 0s or at least 1s"
	ProbeInterval *metav1.Duration `json:"probeInterval,omitempty"`
	// HTTP says which requests read, check and apply a configuration.
	//
	// +optional
	HTTP *HTTPStore `json:"http,omitempty"`
}

// ServiceReference is a port of a Service in the same namespace.
//
// +kubebuilder:validation:XValidation:rule="has(self.eachEndpoint) && self.eachEndpoint || self.port.matches('^[0-9]+$')",message="port is a number: only with eachEndpoint it may be a name"
type ServiceReference struct {
	// Name of the Service.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Port is the number of the Service's port; with eachEndpoint the name of the Service's port, or the number at which the
	// endpoints listen.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Port string `json:"port"`
	// EachEndpoint makes every ready endpoint behind the Service a node with settings of its own, also those that come later.
	// Without it the Service's own name is connected to.
	//
	// +optional
	EachEndpoint bool `json:"eachEndpoint,omitempty"`
}

// StoreCredentials are keys of a Secret in the same namespace.
type StoreCredentials struct {
	// SecretName is the name of the Secret.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`
	// UsernameKey is the key of the user's name; for Ceph of the entity, such as client.lockstep. A key that is not
	// there means no user. Default "username".
	//
	// +optional
	// +kubebuilder:default=username
	// +kubebuilder:validation:MaxLength=253
	UsernameKey string `json:"usernameKey,omitempty"`
	// PasswordKey is the key of the password; for Ceph of the entity's key; for HTTP with no user a bearer token.
	// Default "password".
	//
	// +optional
	// +kubebuilder:default=password
	// +kubebuilder:validation:MaxLength=253
	PasswordKey string `json:"passwordKey,omitempty"`
}

// StoreTLS configures TLS.
type StoreTLS struct {
	// CASecretName is a Secret with the certificates, in its key ca.crt, that are trusted. Default: those of the system.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	CASecretName string `json:"caSecretName,omitempty"`
	// CertificateSecretName is a Secret of type kubernetes.io/tls with the client's certificate.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	CertificateSecretName string `json:"certificateSecretName,omitempty"`
	// ServerName is the name that the server's certificate must have. Default: the endpoint's host.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`
	// InsecureSkipVerify takes any certificate.
	//
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// StoreSettings say which settings may be changed. Items are names of settings in which * stands for any text.
type StoreSettings struct {
	// Allow lists the only settings that may be changed. Default: all that are not dangerous. A dangerous setting, one that
	// can keep the store from starting or lock everybody out, has to be named here without *.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Allow []string `json:"allow,omitempty"`
	// Deny lists settings that may not be changed, also if they are allowed.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Deny []string `json:"deny,omitempty"`
}

// StoreTimeouts bound what is asked of a store.
type StoreTimeouts struct {
	// Connect is for a connection with its login. Default "5s".
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('5m')",message="connect is from 100ms to 5m"
	Connect *metav1.Duration `json:"connect,omitempty"`
	// Command is for one command. What became of a change whose command took longer is not known, so it is read back.
	// Default "5s".
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('5m')",message="command is from 100ms to 5m"
	Command *metav1.Duration `json:"command,omitempty"`
}

// HTTPStore says which requests read, check and apply a configuration. In a path {name} stands for the setting's name
// and {prefix} for its prefix. Redirects are not followed.
type HTTPStore struct {
	// Read is a GET that returns what is in force. Without it the endpoint cannot tell, and a value counts as applied when
	// the effect says so.
	//
	// +optional
	Read *HTTPRead `json:"read,omitempty"`
	// Check is a request with the value as its body, which the endpoint answers with 2xx if it would accept it, and which
	// changes nothing.
	//
	// +optional
	Check *HTTPRequest `json:"check,omitempty"`
	// Apply is the request that puts a value into force.
	//
	// +required
	Apply HTTPRequest `json:"apply"`
	// Effect is what shows that the value is in force: an answer of 2xx alone does not.
	//
	// +optional
	Effect *HTTPEffect `json:"effect,omitempty"`
}

// HTTPRead is a GET request.
type HTTPRead struct {
	// Path of the request.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path"`
}

// HTTPRequest is a request that carries a value.
type HTTPRequest struct {
	// Method is POST, PUT or PATCH. Default POST.
	//
	// +optional
	// +kubebuilder:default=POST
	// +kubebuilder:validation:Enum=POST;PUT;PATCH
	Method string `json:"method,omitempty"`
	// Path of the request.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path"`
	// ContentType of the body. Default "application/json" for a value that is JSON, else "text/plain".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ContentType string `json:"contentType,omitempty"`
	// OmitBody sends no body: the endpoint reads its configuration from elsewhere.
	//
	// +optional
	OmitBody bool `json:"omitBody,omitempty"`
}

// HTTPEffect is where the effect of a change shows.
type HTTPEffect struct {
	// Path of a GET request. The answer is Prometheus' text format where metric is given.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path"`
	// Metric is a series in Prometheus' text format, such as prometheus_config_last_reload_successful.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Metric string `json:"metric,omitempty"`
	// Equals is what the metric, or without one the whole answer, must be.
	//
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Equals string `json:"equals"`
}

// LiveStoreStatus is what is known of a store.
type LiveStoreStatus struct {
	// ObservedGeneration is the generation of the spec that the status tells of.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Version is what the store says of its version.
	//
	// +optional
	Version string `json:"version,omitempty"`
	// Conditions: Ready is true while the store can be reached and lets us in.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

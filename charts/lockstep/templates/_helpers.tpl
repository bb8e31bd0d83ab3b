{{- define "lockstep.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "lockstep.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lockstep.labels" -}}
{{ include "lockstep.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "lockstep.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "lockstep.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "lockstep.image" -}}
{{- $repository := required "image.repository is needed: the image that you built" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The manager's configuration: what the release decides, and the user's fields over it. */ -}}
{{- define "lockstep.config" -}}
{{- $base := dict
  "apiVersion" "config.lockstep.dev/v1alpha1"
  "kind" "LockstepConfiguration"
  "dialects" .Values.dialects
  "namespace" .Release.Namespace
  "leaderElection" (dict "enabled" true)
-}}
{{- if .Values.live.rook }}{{ $_ := set $base "live" (dict "rook" "on") }}{{ end -}}
{{- mergeOverwrite $base (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{- /* A cluster role from files/ under the release's name and, when bound, its binding to the manager. */ -}}
{{- define "lockstep.clusterRole" -}}
{{- $role := .root.Files.Get .file | fromYaml -}}
{{- $name := printf "%s-%s" (include "lockstep.fullname" .root) .name -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}
  labels:
    {{- merge (include "lockstep.labels" .root | fromYaml) $role.metadata.labels | toYaml | nindent 4 }}
{{- with $role.aggregationRule }}
aggregationRule:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.rules }}
rules:
  {{- toYaml . | nindent 2 }}
{{- end }}
---
{{ if .bound -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $name }}
  labels:
    {{- include "lockstep.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "lockstep.serviceAccount" .root }}
    namespace: {{ .root.Release.Namespace }}
---
{{ end -}}
{{- end -}}

{{- /* A role from files/ in the manager's namespace, and its binding to the manager. */ -}}
{{- define "lockstep.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lockstep.labels" .root | nindent 4 }}
rules:
  {{- toYaml (.root.Files.Get .file | fromYaml).rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lockstep.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "lockstep.serviceAccount" .root }}
    namespace: {{ .root.Release.Namespace }}
---
{{ end -}}

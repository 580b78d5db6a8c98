{{- define "imageops.chartName" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Cut to 45, so that no suffix and no pod's or Secret's name made from it passes 63. */}}
{{- define "imageops.name" -}}
{{- $name := include "imageops.chartName" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 45 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 45 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "imageops.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "imageops.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "imageops.name" .) .Values.serviceAccount.name }}
{{- else }}{{ required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "imageops.selector" -}}
app.kubernetes.io/name: {{ include "imageops.chartName" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "imageops.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "imageops.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Name and labels; called with (list $ "suffix"). */}}
{{- define "imageops.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "imageops.name" $root }}{{ index . 1 }}
namespace: {{ include "imageops.namespace" $root }}
labels:
  {{- include "imageops.labels" $root | nindent 2 }}
{{- end }}

{{- /* The reference of an image; called with (list image defaultTag). */}}
{{- define "imageops.image" -}}
{{- $image := index . 0 }}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}
{{- else }}{{ $image.repository }}:{{ default (index . 1) $image.tag }}
{{- end }}
{{- end }}

{{- define "imageops.replicas" -}}
{{- if kindIs "invalid" .Values.replicas }}{{ ternary 2 1 (eq .Values.daemon.mode "tcp") }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{- define "imageops.daemonPort" -}}
{{- default 2376 .port }}
{{- end }}

{{- /* Mode tcp: Engines elsewhere, with certificates on both sides. Two pods, of which one holds the Lease and works. */}}

{{- define "imageops.env.tcp" -}}
- name: IMAGEOPS_DAEMONS
  value: {{ $entries := list }}{{ range .Values.daemon.tcp.daemons -}}
  {{- $entries = append $entries (printf "%s=tcp://%s:%s" .name .host (include "imageops.daemonPort" .)) }}{{ end }}{{ join "," $entries }}
- name: IMAGEOPS_DEFAULT_DAEMON
  value: {{ (first .Values.daemon.tcp.daemons).name }}
- name: IMAGEOPS_DAEMON_CERTS
  value: /etc/imageops/daemons
- name: IMAGEOPS_LEASE_NAME
  value: {{ include "imageops.name" . }}
- name: IMAGEOPS_LEASE_NAMESPACE
  value: {{ include "imageops.namespace" . }}
- name: IMAGEOPS_LEASE_DURATION_SECONDS
  value: {{ .Values.daemon.tcp.leaseDurationSeconds | quote }}
{{- end }}

{{- define "imageops.mounts.tcp" -}}
- name: certificates
  mountPath: /etc/imageops/daemons
  readOnly: true
{{- end }}

{{- define "imageops.volumes.tcp" -}}
- name: certificates
  projected:
    defaultMode: 0440
    sources:
    {{- range $daemon := .Values.daemon.tcp.daemons }}
    - secret:
        name: {{ default (printf "%s-client" (include "imageops.name" $)) $daemon.secretName }}
        items:
        {{- range $file := list "ca.crt" "tls.crt" "tls.key" }}
        - key: {{ $file }}
          path: {{ $daemon.name }}/{{ $file }}
        {{- end }}
    {{- end }}
{{- end }}

{{- /* Mode hostPath: the Engine of the node. The operator is no root, but whoever uses the socket is as mighty as one. */}}

{{- define "imageops.env.hostPath" -}}
- name: IMAGEOPS_DAEMONS
  value: {{ .Values.daemon.name }}=unix:///run/imageops/docker.sock
{{- end }}

{{- define "imageops.mounts.hostPath" -}}
- name: socket
  mountPath: /run/imageops/docker.sock
{{- end }}

{{- define "imageops.volumes.hostPath" -}}
- name: socket
  hostPath:
    path: {{ .Values.daemon.hostPath.socket }}
    type: Socket
{{- end }}

{{- /* Mode dind: an Engine of the pod's own. Its socket lies on a volume that only the pod has; it listens nowhere else. */}}

{{- define "imageops.env.dind" -}}
- name: IMAGEOPS_DAEMONS
  value: {{ .Values.daemon.name }}=unix:///run/imageops/docker.sock
{{- end }}

{{- define "imageops.mounts.dind" -}}
- name: socket
  mountPath: /run/imageops
  readOnly: true
{{- end }}

{{- define "imageops.volumes.dind" -}}
- name: socket
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
- name: engine-config
  configMap:
    name: {{ include "imageops.name" . }}-engine
{{- with .Values.daemon.dind.caConfigMap }}
- name: engine-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- if not .Values.daemon.dind.persistence.enabled }}
- name: data
  emptyDir:
    sizeLimit: {{ .Values.daemon.dind.persistence.size }}
{{- end }}
{{- end }}

{{- /* The socket is for the operator's group: its number is what dockerd's --group takes. No container is ever run, so
       there is no bridge and no rule of a firewall. */}}
{{- define "imageops.engine" -}}
{{- $dind := .Values.daemon.dind -}}
- name: engine
  image: {{ include "imageops.image" (list $dind.image "29-dind") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args:
  - dockerd
  - --host=unix:///run/imageops/docker.sock
  - --group=65532
  - --config-file=/etc/imageops/engine/daemon.json
  {{- if $dind.caConfigMap }}
  env:
  - name: SSL_CERT_DIR
    value: /etc/ssl/certs:/etc/imageops/ca
  {{- end }}
  livenessProbe:
    exec:
      command: [docker, --host=unix:///run/imageops/docker.sock, version]
    initialDelaySeconds: 30
    periodSeconds: 30
    timeoutSeconds: 10
    failureThreshold: 6
  resources:
    {{- toYaml $dind.resources | nindent 4 }}
  securityContext:
    privileged: true
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
  volumeMounts:
  - name: socket
    mountPath: /run/imageops
  - name: data
    mountPath: /var/lib/docker
  - name: engine-config
    mountPath: /etc/imageops/engine
    readOnly: true
  {{- if $dind.caConfigMap }}
  - name: engine-ca
    mountPath: /etc/imageops/ca
    readOnly: true
  {{- end }}
{{- end }}

{{- define "imageops.daemonConfig" -}}
{{- $dind := .Values.daemon.dind -}}
{{- $config := dict "features" (dict "containerd-snapshotter" true) "bridge" "none" "iptables" false "ip6tables" false "userland-proxy" false }}
{{- with $dind.registryMirrors }}{{ $_ := set $config "registry-mirrors" . }}{{ end }}
{{- with $dind.insecureRegistries }}{{ $_ := set $config "insecure-registries" . }}{{ end }}
{{- $proxies := dict }}
{{- with $dind.proxy.httpProxy }}{{ $_ := set $proxies "http-proxy" . }}{{ end }}
{{- with $dind.proxy.httpsProxy }}{{ $_ := set $proxies "https-proxy" . }}{{ end }}
{{- with $dind.proxy.noProxy }}{{ $_ := set $proxies "no-proxy" . }}{{ end }}
{{- with $proxies }}{{ $_ := set $config "proxies" . }}{{ end }}
{{- toPrettyJson $config }}
{{- end }}

{{- /* Values that the schema allows one by one and that are wrong together, or dangerous. */}}
{{- define "imageops.guards" }}
{{- $daemon := .Values.daemon }}
{{- range $where, $image := dict "image" .Values.image "daemon.dind.image" $daemon.dind.image }}
{{- if hasPrefix "latest" (toString $image.tag) }}
{{- fail (printf "%s.tag: latest names another image every day; name a version, or set %s.digest" $where $where) }}
{{- end }}
{{- end }}
{{- if and $daemon.tcp.daemons (ne $daemon.mode "tcp") }}
{{- fail (printf "daemon.tcp.daemons is of no use in mode %s: choose one mode" $daemon.mode) }}
{{- end }}
{{- if and (not (kindIs "invalid" $daemon.hostPath.gid)) (ne $daemon.mode "hostPath") }}
{{- fail (printf "daemon.hostPath.gid is of no use in mode %s: choose one mode" $daemon.mode) }}
{{- end }}
{{- if and .Values.certManager.enabled (ne $daemon.mode "tcp") }}
{{- fail (printf "certManager.enabled is of no use in mode %s: only mode tcp has certificates" $daemon.mode) }}
{{- end }}
{{- if and (eq .Values.hostUsers false) (ne $daemon.mode "tcp") }}
{{- fail (printf "hostUsers: false does not work in mode %s: the Engine's socket or privileges are the node's" $daemon.mode) }}
{{- end }}
{{- if and (eq .Values.hostUsers false) (semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version) }}
{{- fail "hostUsers: false takes Kubernetes 1.33; an older one would ignore it" }}
{{- end }}
{{- if and (ne $daemon.mode "tcp") (gt (int (include "imageops.replicas" .)) 1) }}
{{- fail (printf "replicas: mode %s has one pod, as each pod has an Engine of its own; only mode tcp has more" $daemon.mode) }}
{{- end }}
{{- if and (eq $daemon.mode "hostPath") (kindIs "invalid" $daemon.hostPath.gid) }}
{{- fail "daemon.hostPath.gid is needed in mode hostPath: the group of the node's socket (`getent group docker`)" }}
{{- end }}
{{- if and (eq $daemon.mode "hostPath") (eq (int $daemon.hostPath.gid) 0) }}
{{- fail "daemon.hostPath.gid: a socket of group 0 takes root, which the operator never is; give the socket a group of its own" }}
{{- end }}
{{- if eq $daemon.mode "tcp" }}{{ include "imageops.tcpGuards" . }}{{ end }}
{{- include "imageops.podSecurityGuard" . }}
{{- end }}

{{- define "imageops.tcpGuards" }}
{{- if not .Values.daemon.tcp.daemons }}
{{- fail "daemon.tcp.daemons is needed in mode tcp" }}
{{- end }}
{{- $names := dict }}
{{- range .Values.daemon.tcp.daemons }}
{{- if eq (int (include "imageops.daemonPort" .)) 2375 }}
{{- fail (printf "daemon.tcp.daemons: %s: 2375 is the port without TLS; whoever reaches it owns the machine" .name) }}
{{- end }}
{{- if hasKey $names .name }}
{{- fail (printf "daemon.tcp.daemons: %s stands there twice" .name) }}
{{- end }}
{{- $_ := set $names .name true }}
{{- if and (not .secretName) (not $.Values.certManager.enabled) }}
{{- fail (printf "daemon.tcp.daemons: %s: secretName is needed, or certManager.enabled: there is no TLS without certificates on both sides" .name) }}
{{- end }}
{{- if and .secretName $.Values.certManager.enabled }}
{{- fail (printf "daemon.tcp.daemons: %s: secretName and certManager.enabled exclude each other" .name) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A namespace that refuses the pods would let the installation hang: say it at once. `helm template` cannot know. */}}
{{- define "imageops.podSecurityGuard" }}
{{- $needed := include "imageops.podSecurity" . }}
{{- $namespace := lookup "v1" "Namespace" "" (include "imageops.namespace" .) }}
{{- $enforced := dig "metadata" "labels" "pod-security.kubernetes.io/enforce" "privileged" $namespace }}
{{- if and (eq $needed "privileged") (ne $enforced "privileged") }}
{{- fail (printf "mode %s needs Pod Security level privileged, and namespace %s enforces %s: label it pod-security.kubernetes.io/enforce=privileged, or use mode tcp" .Values.daemon.mode (include "imageops.namespace" .) $enforced) }}
{{- end }}
{{- end }}

{{- define "imageops.podSecurity" -}}
{{- ternary "restricted" "privileged" (eq .Values.daemon.mode "tcp") }}
{{- end }}

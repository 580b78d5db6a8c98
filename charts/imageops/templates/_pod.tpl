{{- /* The pod of every mode. The operator's container is the same in all of them, and restricted. */}}
{{- define "imageops.pod" -}}
{{- $mode := .Values.daemon.mode -}}
metadata:
  labels:
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "imageops.labels" . | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: operator
    {{- if eq $mode "dind" }}
    checksum/daemon: {{ include "imageops.daemonConfig" . | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "imageops.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  {{- if kindIs "bool" .Values.hostUsers }}
  hostUsers: {{ .Values.hostUsers }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if eq $mode "tcp" }}
  topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "imageops.selector" . | nindent 8 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
    {{- if eq $mode "tcp" }}
    fsGroup: 65532
    {{- else if eq $mode "hostPath" }}
    supplementalGroups: [{{ int .Values.daemon.hostPath.gid }}]
    {{- end }}
  {{- if eq $mode "dind" }}
  initContainers:
  {{- include "imageops.engine" . | nindent 2 }}
  {{- end }}
  containers:
  - name: operator
    image: {{ include "imageops.image" (list .Values.image .Chart.AppVersion) }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [operator]
    env:
    - name: IMAGEOPS_LOG_LEVEL
      value: {{ .Values.logLevel }}
    - name: IMAGEOPS_MAX_TRANSFERS
      value: {{ .Values.daemon.maxTransfers | quote }}
    - name: IMAGEOPS_REGISTRY_RATE
      value: {{ .Values.registryRate | quote }}
    {{- with .Values.gitopsMarks }}
    - name: IMAGEOPS_GITOPS_MARKS
      value: {{ join "," . }}
    {{- end }}
    {{- with .Values.rbac.namespaces }}
    - name: IMAGEOPS_NAMESPACES
      value: {{ join "," . }}
    {{- end }}
    {{- include (printf "imageops.env.%s" $mode) . | nindent 4 }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    ports:
    - name: http
      containerPort: 8080
    livenessProbe:
      httpGet: {path: /healthz, port: http}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      periodSeconds: 5
      timeoutSeconds: 5
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      runAsNonRoot: true
      capabilities:
        drop: [ALL]
      seccompProfile:
        type: RuntimeDefault
    volumeMounts:
    - name: kube-api-access
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- include (printf "imageops.mounts.%s" $mode) . | nindent 4 }}
  volumes:
  {{- /* The kubelet would put the token into every container, and the Engine's is privileged: whoever gets into that
         one shall not have the operator's right to read Secrets. */}}
  - name: kube-api-access
    projected:
      sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
          - key: ca.crt
            path: ca.crt
      - downwardAPI:
          items:
          - path: namespace
            fieldRef:
              fieldPath: metadata.namespace
  {{- include (printf "imageops.volumes.%s" $mode) . | nindent 2 }}
{{- end }}

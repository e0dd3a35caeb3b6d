{{/* This program's image. A name with a slash in it is complete. */}}
{{- define "meltemi.image" -}}
{{- $v := .Settled }}
{{- if contains "/" $v.image }}
  {{- $v.image }}
{{- else }}
  {{- printf "%s/%s:%v" $v.hub $v.image ($v.tag | default .Chart.AppVersion) }}{{ with $v.variant }}-{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/*
The container's environment as a list. What a user names in `env` is not set a second time: the API server keeps both
entries of a name, and server-side apply refuses them.
*/}}
{{- define "meltemi.env" -}}
{{- $v := .Settled }}
{{- $own := dict
  "REVISION" .Rev
  "PILOT_CERT_PROVIDER" $v.global.pilotCertProvider
  "KUBECONFIG" "/var/run/secrets/remote/config"
  "CA_TRUSTED_NODE_ACCOUNTS" (printf "%s/%s" ($v.trustedZtunnelNamespace | default .Release.Namespace) ($v.trustedZtunnelName | default "ztunnel"))
  "PILOT_ENABLE_ANALYSIS" $v.global.istiod.enableAnalysis
  "CLUSTER_ID" ($v.global.multiCluster.clusterName | default "Kubernetes")
  "PLATFORM" (coalesce $v.global.platform $v.platform | default "")
}}
{{- with $v.traceSampling }}{{ $_ := set $own "PILOT_TRACE_SAMPLING" . }}{{ end }}
{{- with $v.global.externalIstiod }}{{ $_ := set $own "EXTERNAL_ISTIOD" . }}{{ end }}
{{- with $v.global.trustBundleName }}{{ $_ := set $own "PILOT_CA_CERT_CONFIGMAP" . }}{{ end }}
{{- with $v.crlConfigMapName }}{{ $_ := set $own "PILOT_CRL_CONFIGMAP" . }}{{ end }}
{{- if $v.taint.enabled }}{{ $_ := set $own "PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS" "true" }}{{ end }}
{{- range $name, $value := mergeOverwrite $own (deepCopy $v.env) }}
- name: {{ $name }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- range $name, $path := dict "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" "SERVICE_ACCOUNT" "spec.serviceAccountName" }}
{{- if not (hasKey $v.env $name) }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: {{ $path }}
{{- end }}
{{- end }}
{{- with $v.envVarFrom }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The mesh config: what other values imply, and `meshConfig` over it. */}}
{{- define "meltemi.mesh" -}}
{{- $v := .Settled }}
{{- $proxy := dict "discoveryAddress" (printf "istiod%s.%s.svc:15012" (empty $v.global.remotePilotAddress | ternary .Suffix "") .Release.Namespace) }}
{{- with $v.global.meshID }}{{ $_ := set $proxy "meshId" . }}{{ end }}
{{- with $v.global.proxy.variant | default $v.global.variant }}{{ $_ := set $proxy "image" (dict "imageType" .) }}{{ end }}
{{- with include "meltemi.tracing" . | fromYaml }}{{ $_ := set $proxy "tracing" . }}{{ end }}
{{- $mesh := dict
  "trustDomain" "cluster.local"
  "rootNamespace" $v.global.istioNamespace
  "defaultConfig" $proxy
}}
{{- if and (not $v.meshConfig.defaultProviders) $v.telemetry.enabled $v.telemetry.v2.enabled $v.telemetry.v2.prometheus.enabled }}
  {{- $_ := set $mesh "defaultProviders" (dict "metrics" (list "prometheus")) }}
{{- end }}
{{- mustMergeOverwrite $mesh (deepCopy $v.meshConfig) | toYaml }}
{{- end }}

{{/* The default tracer of the proxies, as `global.proxy.tracer` names it. */}}
{{- define "meltemi.tracing" -}}
{{- $v := .Settled }}
{{- $tracer := $v.global.proxy.tracer }}
{{- $given := index ($v.global.tracer | default dict) $tracer | default dict }}
{{- if eq $tracer "zipkin" }}
  {{- dict "zipkin" (dict "address" ($given.address | default (printf "zipkin.%s:9411" $v.global.istioNamespace))) | toYaml }}
{{- else if eq $tracer "datadog" }}
  {{- dict "datadog" (dict "address" ($given.address | default "$(HOST_IP):8126")) | toYaml }}
{{- else if eq $tracer "lightstep" }}
  {{- dict "lightstep" (dict "address" $given.address "accessToken" $given.accessToken) | toYaml }}
{{- else if eq $tracer "stackdriver" }}
  {{- dict "stackdriver" (dict
    "debug" ($given.debug | default false)
    "maxNumberOfAttributes" ($given.maxNumberOfAttributes | default 200)
    "maxNumberOfAnnotations" ($given.maxNumberOfAnnotations | default 200)
    "maxNumberOfMessageEvents" ($given.maxNumberOfMessageEvents | default 200)) | toYaml }}
{{- else if ne $tracer "none" }}
  {{- fail (printf "global.proxy.tracer is %q; it can be none, zipkin, datadog, lightstep or stackdriver" $tracer) }}
{{- end }}
{{- end }}

{{- define "gateway.name" -}}
{{- .Values.name | default .Release.Name }}
{{- end }}

{{/* What finds the pods. `istio` is the name without `istio-`: istio-ingressgateway is found by `ingressgateway`. */}}
{{- define "gateway.selector" -}}
app: {{ .Values.labels.app | default (include "gateway.name" .) | quote }}
istio: {{ .Values.labels.istio | default (include "gateway.name" . | trimPrefix "istio-") | quote }}
{{- end }}

{{/* The labels of every object. */}}
{{- define "gateway.labels" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: istio
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "gateway.selector" . }}
{{- range $name, $value := omit .Values.labels "app" "istio" }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "gateway.account" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "gateway.name" .) "default") }}
{{- end }}

{{/* The head of an object: name, namespace, labels, annotations. Takes the root and further labels and annotations. */}}
{{- define "gateway.metadata" -}}
{{- $root := .root }}
name: {{ include "gateway.name" $root }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "gateway.labels" $root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (deepCopy $root.Values.annotations) (deepCopy (.annotations | default dict)) }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

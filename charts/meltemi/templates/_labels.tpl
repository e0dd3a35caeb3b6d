{{/* Labels that every object bears. */}}
{{- define "meltemi.labels" -}}
release: {{ .Release.Name }}
{{ include "meltemi.kubernetesLabels" . }}
{{- end }}

{{- define "meltemi.kubernetesLabels" -}}
app.kubernetes.io/name: istiod
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: istio
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels by which istioctl finds what belongs to a revision. */}}
{{- define "meltemi.revisionLabels" -}}
istio.io/rev: {{ .Rev | quote }}
operator.istio.io/component: Pilot
install.operator.istio.io/owning-resource: {{ .Settled.ownerName | default "unknown" }}
{{- end }}

{{/* How Services, budgets and policies find the pods. Without a revision the older label is the one that is selected. */}}
{{- define "meltemi.podSelector" -}}
app: istiod
{{- if .Settled.revision }}
istio.io/rev: {{ .Settled.revision | quote }}
{{- else }}
istio: pilot
{{- end }}
{{- end }}

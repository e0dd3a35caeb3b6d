{{/*
The injector's webhooks for one revision or tag (`name`), as rows: which namespaces and which pods each one takes.
The rows exclude each other, so that a pod is sent at most once. Only the default revision or tag answers to
`istio-injection` and to pods that ask without naming a revision.
*/}}
{{- define "meltemi.injectorWebhooks" -}}
{{- $v := .root.Settled }}
{{- $inject := "sidecar.istio.io/inject" }}
{{- $rows := list
  (dict "name" "rev.namespace"
    "namespaces" (list (list "istio.io/rev" "In" .name) (list "istio-injection" "DoesNotExist"))
    "pods" (list (list $inject "NotIn" "false")))
  (dict "name" "rev.object"
    "namespaces" (list (list "istio.io/rev" "DoesNotExist") (list "istio-injection" "DoesNotExist"))
    "pods" (list (list $inject "NotIn" "false") (list "istio.io/rev" "In" .name)))
}}
{{- if eq .name "default" }}
  {{- $rows = concat $rows (list
    (dict "name" "namespace"
      "namespaces" (list (list "istio-injection" "In" "enabled"))
      "pods" (list (list $inject "NotIn" "false")))
    (dict "name" "object"
      "namespaces" (list (list "istio-injection" "DoesNotExist") (list "istio.io/rev" "DoesNotExist"))
      "pods" (list (list $inject "In" "true") (list "istio.io/rev" "DoesNotExist"))))
  }}
  {{- if $v.sidecarInjectorWebhook.enableNamespacesByDefault }}
    {{- $rows = append $rows (dict "name" "auto"
      "namespaces" (list (list "istio-injection" "DoesNotExist") (list "istio.io/rev" "DoesNotExist")
        (list "kubernetes.io/metadata.name" "NotIn" "kube-system" "kube-public" "kube-node-lease" "local-path-storage"))
      "pods" (list (list $inject "DoesNotExist") (list "istio.io/rev" "DoesNotExist")))
    }}
  {{- end }}
{{- end }}
{{- range $rows }}
- name: {{ .name }}.sidecar-injector.istio.io
  clientConfig:
    {{- if $v.istiodRemote.injectionURL }}
    url: {{ $v.istiodRemote.injectionURL | quote }}
    {{- else }}
    service:
      name: istiod{{ $.root.Suffix }}
      namespace: {{ $.root.Release.Namespace }}
      path: {{ $v.istiodRemote.injectionPath | quote }}
      port: 443
    {{- end }}
    {{- with $v.istiodRemote.injectionCABundle }}
    caBundle: {{ . | quote }}
    {{- end }}
  failurePolicy: Fail
  sideEffects: None
  reinvocationPolicy: {{ $v.sidecarInjectorWebhook.reinvocationPolicy }}
  admissionReviewVersions: [v1]
  rules:
    - operations: [CREATE]
      apiGroups: [""]
      apiVersions: [v1]
      resources: [pods]
  namespaceSelector:
    matchExpressions: {{- include "meltemi.expressions" .namespaces | nindent 6 }}
  objectSelector:
    matchExpressions: {{- include "meltemi.expressions" .pods | nindent 6 }}
{{- end }}
{{- end }}

{{/* Rows of key, operator and values as match expressions. */}}
{{- define "meltemi.expressions" -}}
{{- range . }}
- key: {{ first . }}
  operator: {{ index . 1 }}
  {{- with slice . 2 }}
  values: {{ toJson . }}
  {{- end }}
{{- end }}
{{- end }}

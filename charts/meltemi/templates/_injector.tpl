{{/* The templates that come with the chart, by name. */}}
{{- define "meltemi.templates" -}}
{{- $found := dict }}
{{- range $name := list "sidecar" "gateway" "grpc-simple" "grpc-agent" }}
  {{- with $.Files.Get (printf "files/%s.yaml" $name) }}{{ $_ := set $found $name . }}{{ end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

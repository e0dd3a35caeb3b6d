{{/*
Settles the values once and keeps them in the root, where every template of the chart finds them as `.Settled`.

Each layer is folded (`pilot.x` means `x`) before the next one is laid over it, so that a user's `resources` win over a
profile's `pilot.resources`. `.Settled` is what holds; `.Given` is what the user said.
*/}}
{{- define "meltemi.settle" -}}
{{- if not (hasKey . "Settled") }}
  {{- $given := include "meltemi.fold" .Values | fromYaml }}
  {{- $all := .Files.Get "files/defaults.yaml" | fromYaml }}
  {{- range $row := list
    (list "profile" "profiles" (coalesce $given.profile ($given.global).profile))
    (list "compatibility version" "compatibility" $given.compatibilityVersion)
    (list "platform" "platforms" (coalesce $given.platform ($given.global).platform))
  }}
    {{- with last $row }}
      {{- $layer := $.Files.Get (printf "files/%s/%v.yaml" (index $row 1) .) }}
      {{- if not $layer }}{{ fail (printf "there is no %s %q" (first $row) (toString .)) }}{{ end }}
      {{- $all = mustMergeOverwrite $all (include "meltemi.fold" ($layer | fromYaml) | fromYaml) }}
    {{- end }}
  {{- end }}
  {{- $all = mustMergeOverwrite $all (deepCopy $given) }}
  {{- if $all.istiodRemote.enabled }}
    {{- fail "istiodRemote.enabled: this chart installs a control plane; it cannot use one of another cluster" }}
  {{- end }}
  {{- if not (has $all.global.resourceScope (list "all" "cluster" "namespace")) }}
    {{- fail (printf "global.resourceScope is %q; it can be all, cluster or namespace" $all.global.resourceScope) }}
  {{- end }}
  {{- $_ := set . "Given" $given }}
  {{- $_ := set . "Settled" $all }}
  {{- $_ := set . "Rev" ($all.revision | default "default") }}
  {{- $_ := set . "Suffix" (empty $all.revision | ternary "" (printf "-%s" $all.revision)) }}
  {{- $_ := set . "InCluster" (has $all.global.resourceScope (list "all" "cluster")) }}
  {{- $_ := set . "InNamespace" (has $all.global.resourceScope (list "all" "namespace")) }}
{{- end }}
{{- end }}

{{/* One layer of values, with what stands below `pilot` brought to the top. */}}
{{- define "meltemi.fold" -}}
{{- $layer := omit (deepCopy .) "pilot" }}
{{- mustMergeOverwrite $layer (deepCopy (.pilot | default dict)) | toYaml }}
{{- end }}

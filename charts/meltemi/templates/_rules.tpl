{{/*
What the control plane may do. A test compares these rules with the tables of the code that asks: nothing is missing,
and nothing is granted that no code uses.
*/}}
{{- define "meltemi.clusterRules" -}}
# Read and watched.
- apiGroups: [""]
  resources: [namespaces, nodes, pods, secrets, serviceaccounts, services]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch]
- apiGroups: [extensions.istio.io, networking.istio.io, security.istio.io, telemetry.istio.io]
  resources: ["*"]
  verbs: [get, list, watch]
# The root of the mesh, in every namespace.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, update]
# The CA bundles and the failure policy of the webhooks.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  verbs: [get, list, watch, update, patch]
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations]
  verbs: [get, list, watch, update, patch]
# Who a token belongs to, and whether a gateway may have a Secret.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}

{{- define "meltemi.namespaceRules" -}}
# A dry run that shows whether the validating webhook answers.
- apiGroups: [networking.istio.io]
  resources: [gateways]
  verbs: [create]
# The CA.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, patch]
{{- end }}

{{- define "meltemi.readerRules" -}}
- apiGroups: [""]
  resources: [configmaps, endpoints, namespaces, nodes, pods, replicationcontrollers, secrets, services]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch]
- apiGroups: [extensions.istio.io, networking.istio.io, security.istio.io, telemetry.istio.io]
  resources: ["*"]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get, list, watch]
- apiGroups: [multicluster.x-k8s.io]
  resources: [serviceexports]
  verbs: [get, list, watch, create, delete]
- apiGroups: [multicluster.x-k8s.io]
  resources: [serviceimports]
  verbs: [get, list, watch]
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}

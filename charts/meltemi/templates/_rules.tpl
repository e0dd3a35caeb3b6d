{{/*
What the control plane may do. A test compares these rules with the tables of the code that asks: nothing is missing,
and nothing is granted that no code uses.
*/}}
{{- define "meltemi.clusterRules" -}}
# What the mesh is made of.
- apiGroups: [""]
  resources: [namespaces, nodes, pods, secrets, serviceaccounts, services]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses, ingresses]
  verbs: [get, list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch]
- apiGroups: [extensions.istio.io]
  resources: [trafficextensions, wasmplugins]
  verbs: [get, list, watch]
- apiGroups: [networking.istio.io]
  resources:
    - destinationrules
    - envoyfilters
    - gateways
    - proxyconfigs
    - serviceentries
    - sidecars
    - virtualservices
    - workloadentries
    - workloadgroups
  verbs: [get, list, watch]
- apiGroups: [security.istio.io]
  resources: [authorizationpolicies, peerauthentications, requestauthentications]
  verbs: [get, list, watch]
- apiGroups: [telemetry.istio.io]
  resources: [telemetries]
  verbs: [get, list, watch]
# The entries of workloads outside Kubernetes that connect, and the health that they report.
- apiGroups: [networking.istio.io]
  resources: [workloadentries]
  verbs: [create, update, delete]
- apiGroups: [networking.istio.io]
  resources: [workloadentries/status]
  verbs: [update]
# The root certificate in every namespace; configuration and locks in our own.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, update]
# The CA bundles of the webhooks, and the failure policy of validation.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
  verbs: [get, list, watch, update]
# Addresses: of hosts of ServiceEntries that have none, and of the gateway of Ingresses.
- apiGroups: [networking.istio.io]
  resources: [serviceentries/status]
  verbs: [patch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
# Who a token belongs to.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
# Whether a gateway's account may read the Secrets of its namespace.
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}

{{/* What it may do in its own namespace only. */}}
{{- define "meltemi.namespaceRules" -}}
# The key of a self-signed CA.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, update]
# Locks.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
# A dry run that shows whether validation answers.
- apiGroups: [networking.istio.io]
  resources: [gateways]
  verbs: [create]
{{- end }}

{{/* What a control plane of another cluster may read, as Istio's chart has it. */}}
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

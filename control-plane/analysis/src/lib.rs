//! Findings that need more than one object: duplicate and shadowed routes, missing subsets and gateways, conflicting
//! Gateways, workloads that are not in the mesh. Messages and codes are those of `istioctl analyze`. Pure.
//!
//! This crate must never know files, Kubernetes' client, worlds or Envoy.

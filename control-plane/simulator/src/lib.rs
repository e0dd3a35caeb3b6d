//! What an Envoy does with a connection or a request, computed on the resources that it is served: listener, filter
//! chain, virtual host, route, cluster, or why there is none. Pure.
//!
//! This crate must never know worlds, classes or how resources are made: it reads Envoy's messages and nothing else.

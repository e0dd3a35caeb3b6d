//! A Kubernetes API server for tests: stateful, with scripted faults.

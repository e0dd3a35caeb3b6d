//! What Meltemi asks of the Kubernetes API server and writes to it.

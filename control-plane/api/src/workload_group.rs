//! `WorkloadGroup` (Istio 1.31: networking/v1alpha3).

use std::collections::BTreeMap;

use crate::proto_json::messages;
use crate::workload_entry::WorkloadEntry;

messages! {
    /// What WorkloadEntries of a kind have in common.
    struct WorkloadGroup {
        metadata: Option<WorkloadGroupMetadata>,
        template: Option<WorkloadEntry>,
        probe: Option<ReadinessProbe>,
    }

    /// The value of `WorkloadGroup.metadata`.
    struct WorkloadGroupMetadata {
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    }

    /// The value of `WorkloadGroup.probe`, `MeshProxyConfig.readinessProbe`.
    struct ReadinessProbe oneof [http_get, tcp_socket, exec, grpc] {
        initial_delay_seconds: i32,
        timeout_seconds: i32,
        period_seconds: i32,
        success_threshold: i32,
        failure_threshold: i32,
        http_get: Option<HttpHealthCheckConfig>,
        tcp_socket: Option<TcpHealthCheckConfig>,
        exec: Option<ExecHealthCheckConfig>,
        grpc: Option<GrpcHealthCheckConfig>,
    }

    /// The value of `ReadinessProbe.httpGet`.
    struct HttpHealthCheckConfig {
        path: String,
        port: u32,
        host: String,
        scheme: String,
        http_headers: Vec<HttpHeader>,
    }

    /// The value of `ReadinessProbe.grpc`.
    struct GrpcHealthCheckConfig {
        port: u32,
        service: String,
    }

    /// The value of `HttpHealthCheckConfig.httpHeaders`.
    struct HttpHeader {
        name: String,
        value: String,
    }

    /// The value of `ReadinessProbe.tcpSocket`.
    struct TcpHealthCheckConfig {
        host: String,
        port: u32,
    }

    /// The value of `ReadinessProbe.exec`.
    struct ExecHealthCheckConfig {
        command: Vec<String>,
    }
}

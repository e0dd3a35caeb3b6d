//! `ProxyConfig.proxyHeaders`.

use crate::proto_json::{enums, messages};

messages! {
    /// The value of `MeshProxyConfig.proxyHeaders`.
    struct ProxyHeaders {
        forwarded_client_cert: ForwardClientCertDetails,
        set_current_client_cert_details: Option<SetCurrentClientCertDetails>,
        request_id: Option<RequestId>,
        server: Option<ServerHeader>,
        attempt_count: Option<AttemptCount>,
        envoy_debug_headers: Option<EnvoyDebugHeaders>,
        metadata_exchange_headers: Option<MetadataExchangeHeaders>,
        preserve_http1_header_case: Option<bool>,
        x_forwarded_host: Option<XForwardedHost>,
        x_forwarded_port: Option<XForwardedPort>,
    }

    /// The value of `ProxyHeaders.server`.
    struct ServerHeader {
        disabled: Option<bool>,
        value: String,
    }

    /// The value of `ProxyHeaders.requestId`.
    struct RequestId {
        disabled: Option<bool>,
    }

    /// The value of `ProxyHeaders.attemptCount`.
    struct AttemptCount {
        disabled: Option<bool>,
    }

    /// The value of `ProxyHeaders.xForwardedHost`.
    struct XForwardedHost {
        enabled: Option<bool>,
    }

    /// The value of `ProxyHeaders.xForwardedPort`.
    struct XForwardedPort {
        enabled: Option<bool>,
    }

    /// The value of `ProxyHeaders.envoyDebugHeaders`.
    struct EnvoyDebugHeaders {
        disabled: Option<bool>,
    }

    /// The value of `ProxyHeaders.metadataExchangeHeaders`.
    struct MetadataExchangeHeaders {
        mode: MetadataExchangeMode,
    }

    /// The value of `ProxyHeaders.setCurrentClientCertDetails`.
    struct SetCurrentClientCertDetails {
        subject: Option<bool>,
        cert: Option<bool>,
        chain: Option<bool>,
        dns: Option<bool>,
        uri: Option<bool>,
    }
}

enums! {
    /// The values of `Topology.forwardClientCertDetails`, `ProxyHeaders.forwardedClientCert`.
    enum ForwardClientCertDetails {
        Undefined = 0 "UNDEFINED",
        Sanitize = 1 "SANITIZE",
        ForwardOnly = 2 "FORWARD_ONLY",
        AppendForward = 3 "APPEND_FORWARD",
        SanitizeSet = 4 "SANITIZE_SET",
        AlwaysForwardOnly = 5 "ALWAYS_FORWARD_ONLY",
    }

    /// The values of `MetadataExchangeHeaders.mode`.
    enum MetadataExchangeMode {
        Undefined = 0 "UNDEFINED",
        InMesh = 1 "IN_MESH",
    }
}

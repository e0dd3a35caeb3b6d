//! Application protocols, and how a port's is chosen.

/// The protocol of a service port or gateway server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Plain TCP.
    Tcp,
    /// UDP; never proxied.
    Udp,
    /// HTTP/1.1.
    Http,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// HTTP over TLS that the application terminates; routed by SNI.
    Https,
    /// TLS that the application terminates; routed by SNI.
    Tls,
    /// MongoDB.
    Mongo,
    /// Redis.
    Redis,
    /// MySQL.
    Mysql,
    /// HTTP CONNECT proxy port of a Sidecar's egress listener.
    HttpProxy,
    /// HTTP-based overlay network environment (ztunnel).
    Hbone,
    /// Not declared: detected from the bytes. Istio 1.31: `protocol.Unsupported`.
    Unsupported,
}

impl Protocol {
    /// Parses a protocol name as port-name prefixes, `appProtocol` and `Gateway.servers.port.protocol` spell it.
    /// Istio 1.31: `protocol.Parse`.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "http" => Self::Http,
            "http_proxy" => Self::HttpProxy,
            "http2" => Self::Http2,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "mongo" => Self::Mongo,
            "redis" => Self::Redis,
            "mysql" => Self::Mysql,
            "hbone" => Self::Hbone,
            _ => Self::Unsupported,
        }
    }

    /// Whether Envoy's HTTP connection manager handles it in plain text.
    pub fn is_http(self) -> bool {
        matches!(
            self,
            Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb | Self::HttpProxy | Self::Hbone
        )
    }

    /// Whether it is HTTP/2 on the wire. Istio 1.31: `Instance.IsHTTP2`.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// Whether it is gRPC.
    pub fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb)
    }

    /// What is left once TLS is taken off. Istio 1.31: `Instance.AfterTLSTermination`.
    pub fn after_tls_termination(self) -> Self {
        if self == Self::Https {
            Self::Http
        } else if self == Self::Tls {
            Self::Tcp
        } else {
            self
        }
    }

    /// Whether the bytes are TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// Whether a TCP proxy handles it. Istio 1.31: `Instance.IsTCP`.
    pub fn is_tcp(self) -> bool {
        matches!(
            self,
            Self::Tcp | Self::Https | Self::Tls | Self::Mongo | Self::Redis | Self::Mysql
        )
    }

    /// Whether it must be detected from the bytes.
    pub fn is_unsupported(self) -> bool {
        self == Self::Unsupported
    }

    /// Istio's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Http => "HTTP",
            Self::Http2 => "HTTP2",
            Self::Grpc => "GRPC",
            Self::GrpcWeb => "GRPC-Web",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Mongo => "Mongo",
            Self::Redis => "Redis",
            Self::Mysql => "MySQL",
            Self::HttpProxy => "HTTP_PROXY",
            Self::Hbone => "HBONE",
            Self::Unsupported => "UnsupportedProtocol",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_families() {
        // (text, protocol, HTTP, HTTP/2, TCP, TLS).
        for (text, protocol, http, http2, tcp, tls) in [
            ("tcp", Protocol::Tcp, false, false, true, false),
            ("UDP", Protocol::Udp, false, false, false, false),
            ("http", Protocol::Http, true, false, false, false),
            ("HTTP2", Protocol::Http2, true, true, false, false),
            ("grpc", Protocol::Grpc, true, true, false, false),
            ("grpc-web", Protocol::GrpcWeb, true, true, false, false),
            ("https", Protocol::Https, false, false, true, true),
            ("TLS", Protocol::Tls, false, false, true, true),
            ("mongo", Protocol::Mongo, false, false, true, false),
            ("redis", Protocol::Redis, false, false, true, false),
            ("mysql", Protocol::Mysql, false, false, true, false),
            ("http_proxy", Protocol::HttpProxy, true, false, false, false),
            ("hbone", Protocol::Hbone, true, false, false, false),
            ("web", Protocol::Unsupported, false, false, false, false),
            ("", Protocol::Unsupported, false, false, false, false),
        ] {
            let found = Protocol::parse(text);
            assert_eq!(found, protocol, "{text}");
            assert_eq!(
                (
                    found.is_http(),
                    found.is_http2(),
                    found.is_tcp(),
                    found.is_tls()
                ),
                (http, http2, tcp, tls),
                "{text}"
            );
            assert_eq!(
                Protocol::parse(found.as_str()),
                found,
                "{text} is spelled so"
            );
        }
    }
}

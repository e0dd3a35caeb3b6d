//! `AuthorizationPolicy` (Istio 1.31: security/v1beta1).

use crate::proto_json::{enums, messages};
use crate::selector::{PolicySelector, PolicyTargetReference};

messages! {
    /// Who may call what.
    struct AuthorizationPolicy {
        selector: Option<PolicySelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        rules: Vec<Rule>,
        action: Action,
        provider: Option<AuthorizationProvider>,
    }

    /// The value of `AuthorizationPolicy.provider`.
    struct AuthorizationProvider {
        name: String,
    }

    /// The value of `AuthorizationPolicy.rules`.
    struct Rule {
        from: Vec<From>,
        to: Vec<To>,
        when: Vec<Condition>,
    }

    /// The value of `Rule.from`.
    struct From {
        source: Option<Source>,
    }

    /// The value of `Rule.to`.
    struct To {
        operation: Option<Operation>,
    }

    /// The value of `From.source`.
    struct Source {
        principals: Vec<String>,
        not_principals: Vec<String>,
        request_principals: Vec<String>,
        not_request_principals: Vec<String>,
        namespaces: Vec<String>,
        not_namespaces: Vec<String>,
        service_accounts: Vec<String>,
        not_service_accounts: Vec<String>,
        ip_blocks: Vec<String>,
        not_ip_blocks: Vec<String>,
        remote_ip_blocks: Vec<String>,
        not_remote_ip_blocks: Vec<String>,
        trust_domains: Vec<String>,
        not_trust_domains: Vec<String>,
    }

    /// The value of `To.operation`.
    struct Operation {
        hosts: Vec<String>,
        not_hosts: Vec<String>,
        ports: Vec<String>,
        not_ports: Vec<String>,
        methods: Vec<String>,
        not_methods: Vec<String>,
        paths: Vec<String>,
        not_paths: Vec<String>,
    }

    /// The value of `Rule.when`.
    struct Condition {
        key: String,
        values: Vec<String>,
        not_values: Vec<String>,
    }
}

enums! {
    /// The values of `AuthorizationPolicy.action`.
    enum Action {
        Allow = 0 "ALLOW",
        Deny = 1 "DENY",
        Audit = 2 "AUDIT",
        Custom = 3 "CUSTOM",
    }
}

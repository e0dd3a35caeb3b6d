//! `RequestAuthentication` (Istio 1.31: security/v1beta1).

use crate::duration::Duration;
use crate::proto_json::{enums, messages};
use crate::selector::{PolicySelector, PolicyTargetReference};

messages! {
    /// Which JWTs a workload accepts.
    struct RequestAuthentication {
        selector: Option<PolicySelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        jwt_rules: Vec<JwtRule>,
    }

    /// The value of `RequestAuthentication.jwtRules`.
    struct JwtRule {
        issuer: String,
        presence: Presence,
        audiences: Vec<String>,
        jwks_uri: String,
        jwks: String,
        from_headers: Vec<JwtHeader>,
        from_params: Vec<String>,
        output_payload_to_header: String,
        from_cookies: Vec<String>,
        forward_original_token: bool,
        output_claim_to_headers: Vec<ClaimToHeader>,
        timeout: Option<Duration>,
        space_delimited_claims: Vec<String>,
    }

    /// The value of `JwtRule.fromHeaders`.
    struct JwtHeader {
        name: String,
        prefix: String,
    }

    /// The value of `JwtRule.outputClaimToHeaders`.
    struct ClaimToHeader {
        header: String,
        claim: String,
    }
}

enums! {
    /// The values of `JwtRule.presence`.
    enum Presence {
        Optional = 0 "OPTIONAL",
        Required = 1 "REQUIRED",
    }
}

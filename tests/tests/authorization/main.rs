//! AuthorizationPolicies from their text to the filters of a proxy, and what those say to requests.

mod corpus;
mod direct;
mod mesh;
mod random;
mod same;
mod scale;

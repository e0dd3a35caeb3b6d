//! The user ID of the proxy: its traffic is not redirected, so an application that runs with it bypasses the mesh.

use serde_json::Value;

use crate::analyze::Found;
use crate::message::types;
use crate::object::{list, number, text};
use crate::{Input, Kind};

use super::in_mesh::is_control_plane;

const PROXY_USER: i64 = 1337;

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let specs = [
        (Kind::Pod, "/spec"),
        (Kind::Deployment, "/spec/template/spec"),
    ];
    for (kind, spec) in specs {
        for object in input.of(kind).filter(|object| !is_control_plane(object)) {
            let spec = object.value.pointer(spec).unwrap_or(&Value::Null);
            let containers = list(spec, "/containers").iter();
            let applications = containers
                .filter(|c| !["istio-proxy", "istio-operator"].contains(&text(c, "/name")));
            for run_by in std::iter::once(spec).chain(applications) {
                if number(run_by, "/securityContext/runAsUser") == PROXY_USER {
                    found.add(&types::INVALID_APPLICATION_UID, object, "", &[]);
                }
            }
        }
    }
}

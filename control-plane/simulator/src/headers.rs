//! What the configuration of routes does to headers, of requests on their way and of answers on theirs.

use meltemi_proto::envoy::config::core::v3::HeaderValueOption;
use meltemi_proto::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use meltemi_proto::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use meltemi_proto::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost};

/// Changes of headers, in the order in which Envoy makes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderChanges(pub Vec<HeaderChange>);

/// One of them. Names are in lower case; values stand as they are written, commands such as `%PROTOCOL%` among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderChange {
    /// All values of the name go away.
    Remove(String),
    /// A value comes, whatever is there.
    Append(String, String),
    /// A value comes where the name has none.
    AddIfAbsent(String, String),
    /// A value takes the place of those that are there.
    Set(String, String),
    /// The same, but only where there are any.
    Replace(String, String),
}

impl HeaderChanges {
    /// Makes the changes. The names of `headers` are in lower case.
    pub fn apply(&self, headers: &mut Vec<(String, String)>) {
        for change in &self.0 {
            match change {
                HeaderChange::Remove(name) => headers.retain(|(n, _)| n != name),
                HeaderChange::Append(name, value) => headers.push((name.clone(), value.clone())),
                HeaderChange::AddIfAbsent(name, value) => {
                    if !headers.iter().any(|(n, _)| n == name) {
                        headers.push((name.clone(), value.clone()));
                    }
                }
                HeaderChange::Set(name, value) => {
                    headers.retain(|(n, _)| n != name);
                    headers.push((name.clone(), value.clone()));
                }
                HeaderChange::Replace(name, value) => {
                    let before = headers.len();
                    headers.retain(|(n, _)| n != name);
                    if headers.len() < before {
                        headers.push((name.clone(), value.clone()));
                    }
                }
            }
        }
    }

    /// Envoy: at each level what goes away goes before what comes.
    fn level(&mut self, remove: &[String], add: &[HeaderValueOption]) {
        let removes = remove.iter();
        self.0
            .extend(removes.map(|name| HeaderChange::Remove(name.to_ascii_lowercase())));
        self.0.extend(add.iter().filter_map(change));
    }
}

// Envoy still takes the old form of `append_action`.
#[allow(deprecated)]
fn change(option: &HeaderValueOption) -> Option<HeaderChange> {
    let header = option.header.as_ref()?;
    let name = header.key.to_ascii_lowercase();
    let value = match header.value.as_str() {
        "" => String::from_utf8_lossy(&header.raw_value).into_owned(),
        value => value.to_owned(),
    };
    if value.is_empty() && !option.keep_empty_value {
        return None;
    }
    if option.append.is_some_and(|append| !append.value) {
        return Some(HeaderChange::Set(name, value));
    }
    Some(match HeaderAppendAction::try_from(option.append_action) {
        Ok(HeaderAppendAction::AddIfAbsent) => HeaderChange::AddIfAbsent(name, value),
        Ok(HeaderAppendAction::OverwriteIfExistsOrAdd) => HeaderChange::Set(name, value),
        Ok(HeaderAppendAction::OverwriteIfExists) => HeaderChange::Replace(name, value),
        _ => HeaderChange::Append(name, value),
    })
}

/// The levels that a route stands in.
pub(crate) struct Levels<'a> {
    pub(crate) entry: Option<&'a ClusterWeight>,
    pub(crate) route: &'a Route,
    pub(crate) virtual_host: &'a VirtualHost,
    pub(crate) routes: &'a RouteConfiguration,
}

impl Levels<'_> {
    /// What happens to the request. Envoy: from the cluster's entry up to the configuration, or the other way round where
    /// the configuration says that the most specific one wins; the attempts are counted before.
    pub(crate) fn request(&self) -> HeaderChanges {
        let mut levels = Vec::new();
        if let Some(entry) = self.entry {
            levels.push((
                &entry.request_headers_to_remove,
                &entry.request_headers_to_add,
            ));
        }
        let (route, host, all) = (self.route, self.virtual_host, self.routes);
        levels.push((
            &route.request_headers_to_remove,
            &route.request_headers_to_add,
        ));
        levels.push((
            &host.request_headers_to_remove,
            &host.request_headers_to_add,
        ));
        levels.push((&all.request_headers_to_remove, &all.request_headers_to_add));
        let mut changes = HeaderChanges::default();
        if host.include_request_attempt_count {
            let (name, first) = ("x-envoy-attempt-count".to_owned(), "1".to_owned());
            changes.0.push(HeaderChange::Set(name, first));
        }
        self.gather(levels, changes)
    }

    /// What happens to the answer.
    pub(crate) fn response(&self) -> HeaderChanges {
        let mut levels = Vec::new();
        if let Some(entry) = self.entry {
            levels.push((
                &entry.response_headers_to_remove,
                &entry.response_headers_to_add,
            ));
        }
        let (route, host, all) = (self.route, self.virtual_host, self.routes);
        levels.push((
            &route.response_headers_to_remove,
            &route.response_headers_to_add,
        ));
        levels.push((
            &host.response_headers_to_remove,
            &host.response_headers_to_add,
        ));
        levels.push((
            &all.response_headers_to_remove,
            &all.response_headers_to_add,
        ));
        self.gather(levels, HeaderChanges::default())
    }

    fn gather(
        &self,
        mut levels: Vec<(&Vec<String>, &Vec<HeaderValueOption>)>,
        mut changes: HeaderChanges,
    ) -> HeaderChanges {
        if self.routes.most_specific_header_mutations_wins {
            levels.reverse();
        }
        for (remove, add) in levels {
            changes.level(remove, add);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use meltemi_proto::envoy::config::core::v3::HeaderValue;

    use super::*;

    fn option(value: &str, action: HeaderAppendAction) -> HeaderValueOption {
        HeaderValueOption {
            header: Some(HeaderValue {
                key: "X-A".to_owned(),
                value: value.to_owned(),
                ..HeaderValue::default()
            }),
            append_action: action.into(),
            ..HeaderValueOption::default()
        }
    }

    #[test]
    fn headers_change_as_envoy_changes_them() {
        use HeaderAppendAction::{
            AddIfAbsent, AppendIfExistsOrAdd, OverwriteIfExists, OverwriteIfExistsOrAdd,
        };
        for (before, action, after) in [
            (&["a"][..], AppendIfExistsOrAdd, &["a", "b"][..]),
            (&[], AddIfAbsent, &["b"]),
            (&["a"], AddIfAbsent, &["a"]),
            (&["a", "c"], OverwriteIfExistsOrAdd, &["b"]),
            (&[], OverwriteIfExistsOrAdd, &["b"]),
            (&["a"], OverwriteIfExists, &["b"]),
            (&[], OverwriteIfExists, &[]),
        ] {
            let mut changes = HeaderChanges::default();
            changes.level(&[], &[option("b", action)]);
            let pairs = |values: &[&str]| -> Vec<(String, String)> {
                let values = values.iter();
                values
                    .map(|v| ("x-a".to_owned(), (*v).to_owned()))
                    .collect()
            };
            let mut headers = pairs(before);
            changes.apply(&mut headers);
            assert_eq!(headers, pairs(after), "{before:?} {action:?}");
        }
    }

    #[test]
    fn the_configuration_speaks_last_unless_the_most_specific_wins() {
        let set = |value: &str| vec![option(value, HeaderAppendAction::OverwriteIfExistsOrAdd)];
        let route = Route {
            request_headers_to_add: set("route"),
            ..Route::default()
        };
        let virtual_host = VirtualHost {
            request_headers_to_remove: vec!["X-A".to_owned(), "x-b".to_owned()],
            request_headers_to_add: set("host"),
            include_request_attempt_count: true,
            ..VirtualHost::default()
        };
        for (most_specific_header_mutations_wins, value) in [(false, "host"), (true, "route")] {
            let routes = RouteConfiguration {
                most_specific_header_mutations_wins,
                ..RouteConfiguration::default()
            };
            let levels = Levels {
                entry: None,
                route: &route,
                virtual_host: &virtual_host,
                routes: &routes,
            };
            let mut headers = vec![("x-b".to_owned(), "b".to_owned())];
            levels.request().apply(&mut headers);
            let expected = [("x-envoy-attempt-count", "1"), ("x-a", value)];
            assert_eq!(
                headers,
                expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
            );
            assert_eq!(levels.response(), HeaderChanges::default());
        }
    }
}

//! What a path and its query ask for.

use std::collections::BTreeMap;

use axum::http::Uri;

/// The parts of a resource's path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    pub(crate) group: String,
    pub(crate) version: String,
    /// Empty: all, or a type without namespaces.
    pub(crate) namespace: String,
    pub(crate) plural: String,
    /// Empty: the collection.
    pub(crate) name: String,
    /// `status`, `token`, …; mostly empty.
    pub(crate) subresource: String,
}

impl Asked {
    /// `None`: no path of a resource.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(decoded)
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", version, rest),
            ["apis", group, version, rest @ ..] => (*group, version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // `namespaces/x/status` is about the Namespace, not about a type named status.
            ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return None,
        };
        Some(Self {
            group: group.to_owned(),
            version: (*version).to_owned(),
            namespace: namespace.to_owned(),
            plural: plural.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }

    pub(crate) fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

pub(crate) fn query(uri: &Uri) -> BTreeMap<String, String> {
    uri.query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// Percent and plus signs decoded; what cannot be stays as it is.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: Option<Vec<u8>> = bytes.clone().take(2).map(hex_digit).collect();
                match hex.as_deref() {
                    Some([high, low]) => {
                        out.push(high * 16 + low);
                        bytes.nth(1);
                    }
                    _ => out.push(b'%'),
                }
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    u8::try_from(char::from(byte).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths() {
        let cases = [
            ("/api/v1/pods", "|v1||pods||"),
            ("/api/v1/namespaces", "|v1||namespaces||"),
            ("/api/v1/namespaces/a", "|v1||namespaces|a|"),
            ("/api/v1/namespaces/a/status", "|v1||namespaces|a|status"),
            ("/api/v1/namespaces/a/pods", "|v1|a|pods||"),
            (
                "/api/v1/namespaces/a/serviceaccounts/b/token",
                "|v1|a|serviceaccounts|b|token",
            ),
            ("/apis/apps/v1/deployments", "apps|v1||deployments||"),
            (
                "/apis/a.io/v1/namespaces/n/things/x%2Fy",
                "a.io|v1|n|things|x/y|",
            ),
        ];
        for (path, expected) in cases {
            let a = Asked::parse(path).unwrap();
            let parts = [
                a.group,
                a.version,
                a.namespace,
                a.plural,
                a.name,
                a.subresource,
            ];
            assert_eq!(parts.join("|"), expected, "{path}");
        }
        assert_eq!(Asked::parse("/version"), None);
        assert_eq!(Asked::parse("/api/v1"), None);
    }

    #[test]
    fn reads_queries() {
        let uri: Uri = "/x?watch=true&labelSelector=a%3Db%2Cc+in+(d)&z"
            .parse()
            .unwrap();
        let found = query(&uri);
        assert_eq!(found["watch"], "true");
        assert_eq!(found["labelSelector"], "a=b,c in (d)");
        assert_eq!(found["z"], "");
    }
}

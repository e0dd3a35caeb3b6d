//! `meltemi ps`: connected proxies, and per type whether they have what was sent.

use std::process::ExitCode;

use anyhow::Context as _;
use meltemi_model::ResourceType;
use serde_json::Value;

use super::common;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The control plane's monitoring address.
    #[arg(long, default_value = "127.0.0.1:15014")]
    address: String,
    /// Only proxies of this namespace.
    #[arg(short, long, default_value = "")]
    namespace: String,
}

/// Prints one line for each proxy, and under it the reason of each rejection.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let page = runtime.block_on(page(&args.address, &args.namespace))?;
    common::print(&page);
    Ok(ExitCode::SUCCESS)
}

/// What `ps` prints about the proxies of a control plane; of all namespaces if none is named.
pub async fn page(address: &str, namespace: &str) -> anyhow::Result<String> {
    let path = format!("/debug/syncz?namespace={namespace}");
    let page = common::get(address, &path).await?;
    let proxies: Vec<Value> = serde_json::from_slice(&page)
        .with_context(|| format!("{address}: the answer is not that of a control plane"))?;
    Ok(table(&proxies))
}

/// The types with a column of their own.
const COLUMNS: [ResourceType; 4] = [
    ResourceType::Cluster,
    ResourceType::Endpoint,
    ResourceType::Listener,
    ResourceType::Route,
];

fn table(proxies: &[Value]) -> String {
    let mut rows = vec![
        ["NAME", "CDS", "EDS", "LDS", "RDS", "VERSION"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut reasons = Vec::new();
    for proxy in proxies {
        let text = |key: &str| proxy[key].as_str().unwrap_or_default();
        let mut row = vec![text("proxy").to_owned()];
        let mut why = String::new();
        for ty in ResourceType::SERVED {
            let status = &proxy["resources"][ty.type_url()];
            // Few proxies ask for other types; they show when they are rejected.
            if COLUMNS.contains(&ty) {
                row.push(word(status).to_owned());
            }
            if let Some(error) = status["lastError"].as_str() {
                let rejected: Vec<&str> = status["rejected"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                why.push_str(&format!(
                    "  {} rejected {}: {error}\n",
                    ty.short(),
                    rejected.join(", ")
                ));
            }
        }
        let held = proxy["heldBack"].as_array().into_iter().flatten();
        for object in held.filter_map(Value::as_str) {
            why.push_str(&format!(
                "  held back {object}: this proxy refuses what it comes to\n"
            ));
        }
        row.push(
            if text("istio_version").is_empty() {
                "-"
            } else {
                text("istio_version")
            }
            .to_owned(),
        );
        rows.push(row);
        reasons.push(why);
    }
    let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(c, w)| format!("{c:<w$}"))
            .collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
        if let Some(why) = index.checked_sub(1).and_then(|i| reasons.get(i)) {
            out.push_str(why);
        }
    }
    out
}

/// SYNCED, NOT SENT, STALE or NACK.
fn word(status: &Value) -> &str {
    match status["status"].as_str() {
        None => "NOT SENT",
        Some("ERROR") => "NACK",
        Some(word) => word,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rejection_is_shown_with_its_reason() {
        let listener = ResourceType::Listener.type_url();
        let cluster = ResourceType::Cluster.type_url();
        let proxy = json!({
            "proxy": "a.ns",
            "istio_version": "1.31.0",
            "resources": {
                cluster: {"status": "SYNCED"},
                listener: {"status": "ERROR", "lastError": "no such filter", "rejected": ["0.0.0.0_80"]},
            },
            "heldBack": ["Gateway ns/g"],
        });
        let want = "NAME  CDS     EDS       LDS   RDS       VERSION\n\
                    a.ns  SYNCED  NOT SENT  NACK  NOT SENT  1.31.0\n  \
                    LDS rejected 0.0.0.0_80: no such filter\n  \
                    held back Gateway ns/g: this proxy refuses what it comes to\n";
        assert_eq!(table(&[proxy]), want);
    }
}

//! Telemetries. Istio 1.31: `ValidateTelemetry`.

use meltemi_api::telemetry::{
    AccessLogFilter, CustomTag, MetricsOverrides, ProviderRef, TagOperation, Telemetry,
    TelemetryTracing,
};

use crate::object::{Meta, elements, entries};
use crate::rules::{cel, selector};
use crate::{Check, Findings};

/// A Telemetry.
pub fn validate(_: &Meta<'_>, telemetry: &Telemetry) -> Findings {
    let mut found = Findings::default();
    selector::attachment(
        &mut found,
        telemetry.selector.as_ref(),
        telemetry.target_ref.as_ref(),
        &telemetry.target_refs,
    );
    for (at, metrics) in elements("spec.metrics", &telemetry.metrics) {
        providers(&mut found, &at, &metrics.providers);
        for (at, part) in elements(&format!("{at}.overrides"), &metrics.overrides) {
            overrides(&mut found, &at, part);
        }
    }
    if telemetry.tracing.len() > 1 {
        found.warning(
            "spec.tracing",
            "multiple tracing is not currently supported",
        );
    }
    for (at, part) in elements("spec.tracing", &telemetry.tracing) {
        tracing(&mut found, &at, part);
    }
    for (at, logging) in elements("spec.accessLogging", &telemetry.access_logging) {
        if let Some(part) = &logging.filter {
            found.check(format!("{at}.filter.expression"), filter(part));
        }
        providers(&mut found, &at, &logging.providers);
    }
    found
}

/// `accessLogging.filter`: CEL that can be parsed. Istio 1.31: `validateTelemetryFilter`.
pub fn filter(filter: &AccessLogFilter) -> Check {
    cel::expression(&filter.expression)
        .map_err(|why| format!("must be a valid CEL expression, {why}"))
}

/// The first without a name is enough.
fn providers(found: &mut Findings, at: &str, providers: &[ProviderRef]) {
    let nameless = providers
        .iter()
        .position(|provider| provider.name.is_empty());
    if let Some(i) = nameless {
        found.error(
            format!("{at}.providers[{i}].name"),
            "providers.name may not be empty",
        );
    }
}

fn overrides(found: &mut Findings, at: &str, overrides: &MetricsOverrides) {
    for (at, name, tag) in entries(&format!("{at}.tagOverrides"), &overrides.tag_overrides) {
        if name.is_empty() {
            found.warning(&at, "tagOverrides.name may not be empty");
        }
        let at = format!("{at}.value");
        match tag.operation {
            TagOperation::Upsert if tag.value.is_empty() => found.error(
                at,
                "tagOverrides.value must be set when operation is UPSERT",
            ),
            TagOperation::Remove if !tag.value.is_empty() => found.error(
                at,
                "tagOverrides.value may only be set when operation is UPSERT",
            ),
            _ => {}
        }
    }
    let custom = overrides.r#match.as_ref();
    if custom.and_then(|m| m.custom_metric.as_deref()) == Some("") {
        found.error(
            format!("{at}.match.customMetric"),
            "customMetric may not be empty",
        );
    }
}

fn tracing(found: &mut Findings, at: &str, tracing: &TelemetryTracing) {
    if tracing.providers.len() > 1 {
        found.warning(
            format!("{at}.providers"),
            "multiple providers is not currently supported",
        );
    }
    providers(found, at, &tracing.providers);
    let share = tracing.random_sampling_percentage.unwrap_or(0.0);
    if !(0.0..=100.0).contains(&share) && !share.is_nan() {
        found.error(
            format!("{at}.randomSamplingPercentage"),
            "randomSamplingPercentage must be in range [0.0, 100.0]",
        );
    }
    for (at, name, tag) in entries(&format!("{at}.customTags"), &tracing.custom_tags) {
        if name.is_empty() {
            found.error(&at, "tag name may not be empty");
        }
        custom_tag(found, &at, tag);
    }
}

fn custom_tag(found: &mut Findings, at: &str, tag: &CustomTag) {
    let literal = tag.literal.as_ref().map(|tag| &tag.value);
    let header = tag.header.as_ref().map(|tag| &tag.name);
    let environment = tag.environment.as_ref().map(|tag| &tag.name);
    for (value, field, message) in [
        (
            literal,
            "literal.value",
            "literal tag value may not be empty",
        ),
        (header, "header.name", "header tag name may not be empty"),
        (
            environment,
            "environment.name",
            "environment tag name may not be empty",
        ),
    ] {
        if value.is_some_and(String::is_empty) {
            found.error(format!("{at}.{field}"), message);
        }
    }
}

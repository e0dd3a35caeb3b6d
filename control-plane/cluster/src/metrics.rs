//! Counters of what is written, with Istio's names.
//!
//! Istio exports `galley_*` without the suffix `_total`, which this client adds to every counter; so these are gauges
//! here. `rate()` does not mind, a missing name does.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Which webhook configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NameLabel {
    /// The name of the configuration.
    pub name: String,
}

/// Which webhook configuration, and why it was not patched.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NameReasonLabel {
    /// The name of the configuration.
    pub name: String,
    /// `wrong_revision`, `load_ca_bundle_failure`, `webhook_config_not_found`, `webhook_entry_not_found` or
    /// `webhook_update_failure`.
    pub reason: &'static str,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// As the API machinery spells it.
    pub reason: &'static str,
}

/// Which ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConfigMapLabel {
    /// The name of the ConfigMap.
    pub config_map: String,
}

/// Which kind of objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// `ServiceEntry` or `Ingress`.
    pub kind: &'static str,
}

/// The metrics of this crate.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// `webhook_patch_attempts_total`.
    pub patch_attempts: Family<NameLabel, Counter>,
    /// `webhook_patch_retries_total`.
    pub patch_retries: Family<NameLabel, Counter>,
    /// `webhook_patch_failures_total`.
    pub patch_failures: Family<NameReasonLabel, Counter>,
    /// `galley_validation_config_updates`.
    pub validation_updates: Gauge,
    /// `galley_validation_config_update_error`.
    pub validation_update_errors: Family<ReasonLabel, Gauge>,
    /// `galley_validation_config_load_error`.
    pub validation_load_errors: Family<ReasonLabel, Gauge>,
    /// `meltemi_distributed_config_maps_written_total`.
    pub distributed: Family<ConfigMapLabel, Counter>,
    /// `meltemi_distributed_config_maps_failed_total`.
    pub distribution_failures: Family<ConfigMapLabel, Counter>,
    /// `meltemi_statuses_written_total`.
    pub statuses: Family<KindLabel, Counter>,
    /// `meltemi_statuses_failed_total`.
    pub status_failures: Family<KindLabel, Counter>,
}

/// What becomes of workloads that connect.
#[derive(Debug, Clone, Default)]
pub struct Registrations {
    /// `auto_registration_success_total`.
    pub made: Counter,
    /// `auto_registration_updates_total`.
    pub updates: Counter,
    /// `auto_registration_unregister_total`.
    pub unregistered: Counter,
    /// `auto_registration_deletes_total`.
    pub deleted: Counter,
    /// `auto_registration_errors_total`.
    pub errors: Counter,
}

impl Registrations {
    /// Registers all metrics.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for (name, help, counter) in [
            (
                "auto_registration_success",
                "WorkloadEntries that were made for workloads that connected",
                &metrics.made,
            ),
            (
                "auto_registration_updates",
                "WorkloadEntries whose workloads connected again",
                &metrics.updates,
            ),
            (
                "auto_registration_unregister",
                "WorkloadEntries whose workloads left",
                &metrics.unregistered,
            ),
            (
                "auto_registration_deletes",
                "WorkloadEntries that were removed since their workloads did not come back",
                &metrics.deleted,
            ),
            (
                "auto_registration_errors",
                "Workloads that could not be registered, and entries that could not be written",
                &metrics.errors,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        metrics
    }
}

impl Metrics {
    /// Registers all metrics.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "webhook_patch_attempts",
            "Webhook patching attempts",
            metrics.patch_attempts.clone(),
        );
        registry.register(
            "webhook_patch_retries",
            "Webhook patching retries",
            metrics.patch_retries.clone(),
        );
        registry.register(
            "webhook_patch_failures",
            "Webhook patching total failures",
            metrics.patch_failures.clone(),
        );
        registry.register(
            "galley_validation_config_updates",
            "Webhook configurations of validation that were updated",
            metrics.validation_updates.clone(),
        );
        registry.register(
            "galley_validation_config_update_error",
            "Webhook configurations of validation that could not be updated",
            metrics.validation_update_errors.clone(),
        );
        registry.register(
            "galley_validation_config_load_error",
            "Times that there was no CA bundle for the webhook configurations of validation",
            metrics.validation_load_errors.clone(),
        );
        registry.register(
            "meltemi_distributed_config_maps_written",
            "ConfigMaps that were written to namespaces",
            metrics.distributed.clone(),
        );
        registry.register(
            "meltemi_distributed_config_maps_failed",
            "ConfigMaps that could not be written to a namespace, and were tried again",
            metrics.distribution_failures.clone(),
        );
        registry.register(
            "meltemi_statuses_written",
            "Statuses of objects that were written",
            metrics.statuses.clone(),
        );
        registry.register(
            "meltemi_statuses_failed",
            "Statuses of objects that could not be written, and were tried again",
            metrics.status_failures.clone(),
        );
        metrics
    }
}

//! One kind: its events, lowered, for as long as it is served.

use std::sync::Arc;

use kube::runtime::watcher::{Config, Event as Watch};
use kube::{Api, Client};
use meltemi_model::{Diagnostics, Severity};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::backoff::Backoff;
use super::counts::Counts;
use super::definitions::Installed;
use super::feed::{Feed, Streaming, Trouble};
use super::merge::{Said, Standing};
use super::raw::Raw;
use super::table::{Change, Fate, Seen, Table, identity};
use super::{KubeSettings, Watched};
use crate::lower::{anonymous, is_read, lower};

/// What a task has.
pub(super) struct Task {
    /// Its place among the kinds.
    pub(super) index: usize,
    pub(super) kind: Watched,
    pub(super) client: Client,
    pub(super) settings: Arc<KubeSettings>,
    pub(super) streaming: Streaming,
    pub(super) definitions: watch::Receiver<Installed>,
    pub(super) counts: Arc<Counts>,
    pub(super) said: mpsc::Sender<Said>,
}

/// So many failures in a row are worth telling.
const TELLING: u32 = 3;

/// Nobody listens any more.
struct Unheard;

/// Why a version is followed no longer.
enum Ended {
    /// The API server does not serve it.
    NotServed,
    /// Its definition is gone.
    Removed,
}

/// Follows a kind until nobody listens.
pub(super) async fn follow(mut task: Task) {
    let mut table = Table::default();
    let mut backoff = Backoff::new(task.settings.patience);
    let _: Result<(), Unheard> = async {
        loop {
            task.definitions.borrow_and_update();
            let mut ended = Ended::NotServed;
            for version in task.kind.versions {
                ended = task.version(version, &mut table).await?;
                if matches!(ended, Ended::Removed) {
                    break;
                }
            }
            // While it is not known whether it is installed, a 404 may be anybody's mistake: what there is stays.
            let installed = task.installed();
            if matches!(ended, Ended::Removed) || installed == Some(false) || table.is_empty() {
                let changes = table.clear(|event| task.counts.add(&task.kind, event));
                task.say(changes, &mut table, Standing::Absent).await?;
            } else {
                task.say(Vec::new(), &mut table, Standing::Failing).await?;
            }
            task.wait_for_definition(&mut backoff).await?;
        }
    }
    .await;
}

impl Task {
    /// Whether the definition is there; kinds without one are always there.
    fn installed(&self) -> Option<bool> {
        if self.kind.custom {
            self.definitions.borrow().has(&self.kind.resource())
        } else {
            Some(true)
        }
    }

    /// Until it is time to look whether the kind is served.
    async fn wait_for_definition(&mut self, backoff: &mut Backoff) -> Result<(), Unheard> {
        while self.kind.custom && self.installed() == Some(false) {
            self.definitions.changed().await.map_err(|_| Unheard)?;
            if self.installed() != Some(false) {
                backoff.succeeded();
                return Ok(());
            }
        }
        // Installed and not served yet, or not known.
        tokio::select! {
            changed = self.definitions.changed() => changed.map_err(|_| Unheard),
            () = tokio::time::sleep(backoff.next(None)) => Ok(()),
        }
    }

    /// Follows one version.
    async fn version(&mut self, version: &str, table: &mut Table) -> Result<Ended, Unheard> {
        let resource = self.kind.api_resource(version);
        let api: Api<Raw> = Api::all_with(self.client.clone(), &resource);
        let config = Config {
            field_selector: self.kind.fields.clone(),
            ..Config::default()
        };
        let mut feed = Feed::new(api, config, self.streaming.clone(), self.settings.patience);
        let api_version = self.kind.api_version(version);
        loop {
            let next = tokio::select! {
                next = feed.next() => next,
                changed = self.definitions.changed(), if self.kind.custom => {
                    changed.map_err(|_| Unheard)?;
                    if self.installed() == Some(false) {
                        return Ok(Ended::Removed);
                    }
                    continue;
                }
            };
            let count = |event| self.counts.add(&self.kind, event);
            match next {
                Ok(Watch::Init) => table.begin(),
                Ok(Watch::InitApply(raw)) => table.listed(self.read(raw, &api_version)),
                Ok(Watch::InitDone) => {
                    let changes = table.end(count);
                    self.say(changes, table, Standing::Followed).await?;
                }
                Ok(Watch::Apply(raw)) => {
                    let change = table.apply(self.read(raw, &api_version), count);
                    self.say(change.into_iter().collect(), table, Standing::Followed)
                        .await?;
                }
                Ok(Watch::Delete(raw)) => {
                    let name = (
                        raw.meta_text("namespace").into(),
                        raw.meta_text("name").into(),
                    );
                    let change = table.delete(&name, version_of(&raw), count);
                    self.say(change.into_iter().collect(), table, Standing::Followed)
                        .await?;
                }
                Err(Trouble::NotServed) if self.kind.custom => return Ok(Ended::NotServed),
                Err(Trouble::Refused(why)) => {
                    self.say(Vec::new(), table, Standing::Refused(why)).await?;
                }
                // One connection that ends early is nothing to talk about.
                Err(Trouble::Failed(failures)) if failures < TELLING => {}
                Err(Trouble::NotServed | Trouble::Failed(_)) => {
                    self.say(Vec::new(), table, Standing::Failing).await?;
                }
                Err(Trouble::Over) => {
                    self.say(Vec::new(), table, Standing::Followed).await?;
                }
            }
        }
    }

    async fn say(
        &self,
        changes: Vec<Change>,
        table: &mut Table,
        standing: Standing,
    ) -> Result<(), Unheard> {
        let findings = table.findings().map(|mut found| {
            found.extend(self.unread(table));
            found
        });
        let said = Said {
            index: self.index,
            changes,
            findings,
            standing,
        };
        self.said.send(said).await.map_err(|_| Unheard)
    }

    /// One finding for a kind that is not supported yet, however many objects there are.
    fn unread(&self, table: &Table) -> Diagnostics {
        if table.unread() == 0 {
            return Diagnostics::new();
        }
        let message = format!(
            "{} is not supported yet: the cluster's objects of this kind are ignored",
            self.kind.kind
        );
        vec![anonymous(Severity::Warning, "", message)]
    }

    /// Lowers an object; the object itself ends here.
    fn read(&self, mut raw: Raw, api_version: &str) -> Seen {
        let name = (
            raw.meta_text("namespace").into(),
            raw.meta_text("name").into(),
        );
        let (version, identity) = (version_of(&raw), identity(raw.meta_text("uid")));
        let fate = if self.kind.metadata_only || !self.is_ours(&raw) {
            Fate::Foreign
        } else if !is_read(api_version, self.kind.kind) {
            Fate::Unread
        } else {
            // Lists of built-in kinds do not repeat them.
            if let Value::Object(fields) = &mut raw.value {
                fields.insert("apiVersion".to_owned(), api_version.into());
                fields.insert("kind".to_owned(), self.kind.kind.into());
            }
            let lowered = lower(&raw.value, &self.settings.lower);
            Fate::Lowered(lowered.object, lowered.diagnostics)
        };
        Seen {
            name,
            version,
            identity,
            fate,
        }
    }

    /// Whether an object is of our revision. Istio 1.31: `LabelsInRevision`: what names none is everybody's, and who has
    /// none takes everything.
    fn is_ours(&self, raw: &Raw) -> bool {
        let ours = &self.settings.lower.revision;
        let theirs = raw.label("istio.io/rev").filter(|_| self.kind.custom);
        ours.is_empty() || theirs.is_none_or(|theirs| *theirs == **ours)
    }
}

fn version_of(raw: &Raw) -> Option<u64> {
    raw.meta_text("resourceVersion").parse().ok()
}

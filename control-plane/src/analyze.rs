//! Files → objects with their places → what analysis says about them.

use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use meltemi_analysis::{Input, Judges, Mesh, Object, Options, Report, analyze, default_objects};
use meltemi_sources::yaml::{self, Syntax};
use serde_json::{Value, json};

/// A file, or what came on standard input.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, as messages show it.
    pub name: String,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// The names of files that are read.
pub const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// What files and directories hold.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The files, in order.
    pub sources: Vec<Source>,
    /// Those that are not read because of their names.
    pub skipped: Vec<String>,
}

/// Reads files, directories with all below them, and standard input (`-`).
///
/// # Errors
/// What is not there or cannot be read.
pub fn gather(paths: &[PathBuf]) -> anyhow::Result<Gathered> {
    let mut gathered = Gathered::default();
    for path in paths {
        if path == Path::new("-") {
            let mut bytes = Vec::new();
            let reading = std::io::stdin().read_to_end(&mut bytes);
            reading.context("reading standard input")?;
            let name = "-".to_owned();
            gathered.sources.push(Source { name, bytes });
        } else {
            gather_path(path, &mut gathered)?;
        }
    }
    Ok(gathered)
}

fn gather_path(path: &Path, gathered: &mut Gathered) -> anyhow::Result<()> {
    let name = path.display().to_string();
    let about = std::fs::metadata(path).with_context(|| name.clone())?;
    if about.is_dir() {
        let entries = std::fs::read_dir(path).with_context(|| name.clone())?;
        let paths: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut paths = paths.map_err(|error: std::io::Error| error).context(name)?;
        paths.sort();
        return paths
            .iter()
            .try_for_each(|path| gather_path(path, gathered));
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    if !extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
        gathered.skipped.push(name);
        return Ok(());
    }
    let bytes = std::fs::read(path).with_context(|| name.clone())?;
    gathered.sources.push(Source { name, bytes });
    Ok(())
}

/// Where an object stands.
#[derive(Debug)]
struct Place {
    source: usize,
    range: Range<usize>,
    line: u32,
    root: String,
}

/// The objects of files.
#[derive(Debug, Default)]
pub struct Objects {
    objects: Vec<Object>,
    places: Vec<Place>,
    texts: Vec<String>,
    /// What could not be read, as `file:line: why`; one list for each file that has any.
    pub problems: Vec<(String, Vec<String>)>,
}

impl Objects {
    /// Reads the objects of files. Those without a namespace get `namespace`; kinds that nobody analyzes are left out.
    pub fn read(sources: &[Source], namespace: &str) -> Self {
        let mut all = Self::default();
        for source in sources {
            let problems = all.add(source, namespace);
            if !problems.is_empty() {
                all.problems.push((source.name.clone(), problems));
            }
        }
        all
    }

    fn add(&mut self, source: &Source, namespace: &str) -> Vec<String> {
        let shown = |line: u32, message: &str| match line {
            0 => format!("{}: {message}", source.name),
            line => format!("{}:{line}: {message}", source.name),
        };
        let text = match yaml::decode(&source.bytes) {
            Ok(text) => text.to_owned(),
            Err(problem) => return vec![shown(problem.line, &problem.message)],
        };
        let syntax = if source.name.ends_with(".json") {
            Syntax::Json
        } else {
            Syntax::Yaml
        };
        let contents = yaml::read(&text, syntax);
        let problems = contents.problems.iter();
        let mut problems: Vec<_> = problems.map(|p| shown(p.line, &p.message)).collect();
        for document in contents.documents {
            let named = |field: &str| document.value.get(field).is_some_and(Value::is_string);
            let first = first_line(&text[document.range.clone()], document.line);
            if !named("apiVersion") || !named("kind") {
                let message = "the object has no apiVersion and kind; write both";
                problems.push(shown(first, message));
                continue;
            }
            let Some(object) = Object::new(document.value, namespace) else {
                continue;
            };
            let line = match &*document.root {
                "" => first,
                root => yaml::line_of(&text[document.range.clone()], document.line, root),
            };
            self.objects.push(Object {
                file: source.name.clone(),
                line,
                id: self.places.len(),
                ..object
            });
            self.places.push(Place {
                source: self.texts.len(),
                range: document.range,
                line: document.line,
                root: document.root,
            });
        }
        self.texts.push(text);
        problems
    }

    /// The line of a field of an object, if the field is there.
    fn line_of(&self, object: &Object, field: &str) -> Option<u32> {
        let place = self.places.get(object.id)?;
        object.value.pointer(&pointer(field))?;
        let text = self.texts.get(place.source)?.get(place.range.clone())?;
        let separator = if place.root.is_empty() { "" } else { "." };
        let path = format!("{}{separator}{field}", place.root);
        Some(yaml::line_of(text, place.line, &path))
    }
}

/// The first line of a document that is neither empty nor the mark of its beginning; a comment counts.
fn first_line(text: &str, line: u32) -> u32 {
    let mut lines = (line..).zip(text.lines());
    let first = lines.find(|(_, content)| !["", "---"].contains(&content.trim_end()));
    first.map_or(line, |(line, _)| line)
}

/// `spec.http[0].labels["a.b/c"]` as a JSON pointer.
fn pointer(field: &str) -> String {
    let mut out = String::new();
    let mut rest = field;
    while !rest.is_empty() {
        let (step, after) = if let Some(quoted) = rest.strip_prefix("[\"") {
            quoted.split_once("\"]").unwrap_or((quoted, ""))
        } else if let Some(index) = rest.strip_prefix('[') {
            index.split_once(']').unwrap_or((index, ""))
        } else {
            let key = rest.strip_prefix('.').unwrap_or(rest);
            key.split_at(key.find(['.', '[']).unwrap_or(key.len()))
        };
        out.push('/');
        out.push_str(&step.replace('~', "~0").replace('/', "~1"));
        rest = after;
    }
    out
}

/// What is analyzed beside the files.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The mesh configuration; null for none.
    pub mesh: Value,
    /// The networks of the mesh; null for none.
    pub networks: Value,
    /// The control plane's namespace.
    pub istio_namespace: String,
}

/// Analyzes objects, and hands the report to `take`.
pub fn run<T>(
    objects: &Objects,
    surroundings: &Surroundings,
    options: &Options,
    take: impl FnOnce(&Report<'_>) -> T,
) -> T {
    let mesh = Mesh(surroundings.mesh.clone());
    let namespace = &surroundings.istio_namespace;
    let networks = networks(surroundings);
    let defaults = default_objects(&mesh, namespace);
    let all = defaults
        .into_iter()
        .chain(networks)
        .chain(objects.objects.iter().cloned());
    let now = std::time::SystemTime::now();
    let judges = Judges {
        validate: &meltemi_validation::validate,
        annotation: &meltemi_injector::check_annotation,
        certificate_is_valid: &|pem| meltemi_ca::pem::first_is_valid_at(pem, now),
        line_of: &|object, field| objects.line_of(object, field),
    };
    let input = Input::new(mesh, judges, all);
    take(&analyze(&input, options))
}

/// The networks, in the form of an object; no file is theirs.
fn networks(surroundings: &Surroundings) -> Option<Object> {
    let networks = surroundings.networks.get("networks")?;
    let value = json!({
        "apiVersion": "-/v1",
        "kind": "MeshNetworks",
        "metadata": {"name": "meshnetworks"},
        "networks": networks,
    });
    Object::new(value, &surroundings.istio_namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_pointers() {
        for (field, want) in [
            ("spec.http[0].name", "/spec/http/0/name"),
            ("spec.selector[\"a.b/c\"]", "/spec/selector/a.b~1c"),
            ("metadata.name", "/metadata/name"),
        ] {
            assert_eq!(pointer(field), want);
        }
    }

    #[test]
    fn a_document_begins_where_something_is_said() {
        for (text, want) in [
            ("kind: A", 5),
            ("---\n\n# why\nkind: A", 7),
            ("--- # why\nkind: A", 5),
            ("---\n", 5),
        ] {
            assert_eq!(first_line(text, 5), want, "{text}");
        }
    }
}

//! Worlds of the corpus at another size: objects whose names end in a number stand once for each number.

use std::collections::BTreeSet;

/// The size that a world is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grown {
    /// Numbers of each kind of object but WorkloadEntry.
    pub services: usize,
    /// Numbers of WorkloadEntries; they are spread over the services.
    pub instances: usize,
}

/// Documents of a file.
pub fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n---\n").filter(|part| !part.trim().is_empty())
}

/// The world with objects 0, 1, … made after the pattern of those that have the number 0.
pub fn grown(text: &str, size: Grown) -> String {
    let mut whole: Vec<String> = Vec::new();
    let mut patterns: Vec<&str> = Vec::new();
    let mut known = BTreeSet::new();
    for document in documents(text) {
        let name = field(document, "  name: ");
        match name.rsplit_once('-').map(|(_, number)| number) {
            Some("0") => patterns.push(document),
            Some(number) if number.parse::<usize>().is_ok() => {}
            // Once, even where the text has it for each number.
            _ if known.insert(document) => whole.push(document.trim_end().to_owned()),
            _ => {}
        }
    }
    for pattern in patterns {
        let workload = field(pattern, "kind: ") == "WorkloadEntry";
        let count = if workload {
            size.instances
        } else {
            size.services
        };
        whole.extend((0..count).map(|number| {
            let text = numbered(pattern.trim_end(), number);
            let of_service = number % size.services.max(1);
            if workload && of_service != number {
                let own = format!("app: random-{number}");
                return text.replace(&own, &format!("app: random-{of_service}"));
            }
            text
        }));
    }
    whole.join("\n---\n") + "\n"
}

fn field<'a>(document: &'a str, key: &str) -> &'a str {
    let lines = document.lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(key));
    found.next().unwrap_or_default()
}

/// `-0` becomes the number, and an address that ends in `.0.0` the one of that number.
fn numbered(pattern: &str, number: usize) -> String {
    let address = format!(".{}.{}", number / 255, number % 255);
    let mut text = String::with_capacity(pattern.len());
    for line in pattern.split_inclusive('\n') {
        let mut rest = line;
        while let Some(at) = rest.find("-0") {
            let after = rest[at + 2..].chars().next();
            text.push_str(&rest[..at]);
            if after.is_some_and(|c| c.is_ascii_alphanumeric()) {
                text.push_str("-0");
            } else {
                text.push_str(&format!("-{number}"));
            }
            rest = &rest[at + 2..];
        }
        match rest.trim_end().strip_suffix(".0.0") {
            Some(begin) => {
                text.push_str(begin);
                text.push_str(&address);
                text.push_str(&rest[rest.trim_end().len()..]);
            }
            None => text.push_str(rest),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_stand_once_for_each_number() {
        let text = "kind: Gateway\nmetadata:\n  name: one\n---\n\
                    kind: ServiceEntry\nmetadata:\n  name: service-0\nspec:\n  addresses:\n  - 240.240.0.0\n  hosts: [random-a-0.example]\n---\n\
                    kind: ServiceEntry\nmetadata:\n  name: service-1\n---\n\
                    kind: WorkloadEntry\nmetadata:\n  name: random-0\nspec:\n  labels:\n    app: random-0\n";
        let size = Grown {
            services: 300,
            instances: 301,
        };
        let text = grown(text, size);
        let all: Vec<&str> = documents(&text).collect();
        assert_eq!(all.len(), 1 + 300 + 301);
        let last = all[300];
        for part in ["service-299\n", "240.240.1.44\n", "random-a-299.example"] {
            assert!(last.contains(part), "{last}");
        }
        assert!(all[601].contains("name: random-300\n") && all[601].contains("app: random-0"));
    }
}

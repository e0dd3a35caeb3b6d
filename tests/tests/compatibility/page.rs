//! docs/compatibility.md.

use std::fmt::Write as _;

use super::table::{Row, Status, Table};

const HEAD: &str = "\
# What works

<!-- Written by `MELTEMI_UPDATE_COMPATIBILITY=1 cargo test -p meltemi-tests --test compatibility` from
`tests/compatibility`; do not edit it here. -->

Row by row what Istio 1.31 users can write, how far Meltemi is, and the cases that show it. A test holds the fields
against the types of the API, and the cases against the files, so that the page cannot claim more than there is.

`done`: as in Istio. `differs`: as in Istio but for what [differences.md](differences.md) says. `dead`: Istio 1.31 itself
does nothing with it. `alpha`: off by default or experimental in Istio, and not built. `missing`: not built yet.

A case `golden/…` is a folder below `tests`, `world/…` is recorded from istiod 1.31, the others are tests.
";

/// The whole page.
pub(crate) fn page(tables: &[Table]) -> String {
    let mut out = HEAD.to_owned();
    let _ = writeln!(
        out,
        "\n| kind | done | differs | dead | alpha | missing |\n|---|---|---|---|---|---|"
    );
    for table in tables {
        let count = |status| table.rows.iter().filter(|r| r.status == status).count();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            table.kind,
            count(Status::Done),
            count(Status::Differs),
            count(Status::Dead),
            count(Status::AlphaWaits),
            count(Status::Missing)
        );
    }
    for table in tables {
        let _ = writeln!(out, "\n## {}\n", table.kind);
        if !table.about.is_empty() {
            let _ = writeln!(out, "{}\n", table.about.trim());
        }
        let _ = writeln!(out, "| field | what | level | status | case |");
        let _ = writeln!(out, "|---|---|---|---|---|");
        for row in &table.rows {
            let _ = writeln!(out, "{}", line(row));
        }
    }
    out
}

fn line(row: &Row) -> String {
    let code = |list: Vec<&str>| {
        let quoted: Vec<String> = list.iter().map(|text| format!("`{text}`")).collect();
        quoted.join("<br>")
    };
    let note = match row.note.as_str() {
        "" => String::new(),
        note => format!("; {note}"),
    };
    format!(
        "| {} | {}{} | {} | {} | {} |",
        code(row.fields().collect()),
        cell(&row.what),
        cell(&note),
        row.level,
        status(row.status),
        code(row.cases.iter().map(|case| short(case)).collect())
    )
}

/// A vertical bar would end the cell.
fn cell(text: &str) -> String {
    text.trim().replace('\n', " ").replace('|', "\\|")
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Differs => "differs",
        Status::Dead => "dead",
        Status::AlphaWaits => "alpha",
        Status::Missing => "missing",
    }
}

/// A test by its name: the file is found by it.
fn short(case: &str) -> &str {
    match case.rsplit_once("::") {
        Some((_, test)) => test,
        None => case,
    }
}

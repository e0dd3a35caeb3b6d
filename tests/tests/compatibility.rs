//! The table of what is compatible (`tests/compatibility/*.yaml`), which cannot claim more than there is: every field of
//! the API has a row, every case that a row names exists and uses the row's fields, and docs/compatibility.md says the same.
//!
//! `MELTEMI_UPDATE_COMPATIBILITY=1 cargo test -p meltemi-tests --test compatibility` writes the page again.

#[path = "compatibility/cases.rs"]
mod cases;
#[path = "compatibility/fields.rs"]
mod fields;
#[path = "compatibility/page.rs"]
mod page;
#[path = "compatibility/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::fs;

use meltemi_tests::shared::repo_root;
use similar::TextDiff;
use table::{Status, Table};

fn tables() -> Vec<Table> {
    table::read(&repo_root().join("tests/compatibility")).expect("the tables can be read")
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_field_of_the_api_has_a_row() {
    let mut wrong = Vec::new();
    for table in tables() {
        let Some(shape) = fields::shape(&table.kind) else {
            continue;
        };
        let known = fields::leaves(&shape);
        let rows: Vec<&str> = table.rows.iter().flat_map(|row| row.fields()).collect();
        for leaf in &known.leaves {
            if !rows.iter().any(|row| fields::covers(row, leaf)) {
                wrong.push(format!("{}: no row has the field {leaf}", table.kind));
            }
        }
        for row in rows {
            let path = fields::without_value(row).trim_end_matches(".**");
            if !known.all.contains(path) {
                wrong.push(format!("{}: there is no field {row}", table.kind));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_case_of_a_row_exists() {
    let mut wrong = Vec::new();
    for table in tables() {
        for row in &table.rows {
            for case in &row.cases {
                if let Err(why) = cases::exists(case) {
                    wrong.push(format!("{}: {}: {case}: {why}", table.kind, row.what));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn what_is_done_has_a_case_of_our_own() {
    let mut wrong = Vec::new();
    for table in tables() {
        for row in &table.rows {
            let own = row.cases.iter().any(|case| !case.starts_with("world/"));
            if matches!(row.status, Status::Done | Status::Differs) && !own {
                wrong.push(format!("{}: {}: no case of ours", table.kind, row.what));
            }
        }
    }
    none(&wrong);
}

#[test]
fn the_goldens_of_a_row_use_its_fields() {
    let mut wrong = Vec::new();
    for table in tables() {
        let Some(shape) = fields::shape(&table.kind) else {
            continue;
        };
        for row in &table.rows {
            let goldens: Vec<&str> = row.goldens().collect();
            if goldens.is_empty() || row.status != Status::Done {
                continue;
            }
            let used: BTreeSet<String> = goldens
                .iter()
                .flat_map(|golden| cases::used(golden, &table.kind, &shape))
                .collect();
            for field in row.fields() {
                let field = fields::without_value(field).trim_end_matches(".**");
                if !used.contains(field) {
                    let goldens = goldens.join(", ");
                    wrong.push(format!("{}: {field} is not in {goldens}", table.kind));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn the_page_says_what_the_tables_say() {
    let path = repo_root().join("docs/compatibility.md");
    let want = page::page(&tables());
    if std::env::var_os("MELTEMI_UPDATE_COMPATIBILITY").is_some() {
        fs::write(&path, &want).expect("the page can be written");
        return;
    }
    let got = fs::read_to_string(&path).unwrap_or_default();
    let diff = TextDiff::from_lines(&got, &want);
    assert!(
        got == want,
        "docs/compatibility.md is stale\n{}\nMELTEMI_UPDATE_COMPATIBILITY=1 cargo test -p meltemi-tests --test \
         compatibility writes it",
        diff.unified_diff()
    );
}

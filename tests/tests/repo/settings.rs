//! Settings are parsed once and passed in: what reads the environment or the arguments is `settings.rs` or `main.rs`.

use meltemi_tests::rust_source::{tokens, without_tests};

use super::modules::modules;
use super::sources::read;

const READERS: [&str; 5] = ["var", "var_os", "vars", "vars_os", "args"];
const PLACES: [&str; 2] = ["main.rs", "settings.rs"];

#[test]
fn i8_the_environment_is_read_in_one_place() {
    let mut found = Vec::new();
    for module in modules()
        .into_iter()
        .filter(|module| !module.test && module.package != "xtask")
    {
        if PLACES.iter().any(|place| module.path.ends_with(place))
            || module.path.ends_with("build.rs")
        {
            continue;
        }
        let source = read(&module.path);
        for four in without_tests(&tokens(&source)).windows(4) {
            let [env, colon, other, name] = four else {
                continue;
            };
            let reads = READERS.iter().any(|reader| name.is_word(reader));
            if env.is_word("env") && colon.is_sign(':') && other.is_sign(':') && reads {
                found.push(format!("{}:{}", module.path.display(), env.line));
            }
        }
    }
    assert!(found.is_empty(), "pass it in as a setting: {found:#?}");
}

//! Calls between echo applications, as istiod's integration tests make them (`../shared/corpus/echo-traffic`), in process:
//! from the resources of the source's proxy through those of the destination's, by the simulator.

mod echo;

use std::collections::BTreeMap;

use meltemi_tests::recorded::Expected;
use meltemi_tests::shared;

use echo::Verdict;

/// The groups that need nothing but sidecars and DNS. The others need real certificates, gateways' addresses, or
/// filters that decide by more than resources.
const GROUPS: [&str; 8] = [
    "destinationrule",
    "externalname",
    "host",
    "serverfirst",
    "services",
    "sniffing",
    "use-client-protocol",
    "virtualservice",
];
#[test]
fn calls_between_applications_end_as_istios_tests_expect() {
    let Some(suite) = shared::suite("echo-traffic") else {
        shared::skipped("no corpus");
        return;
    };
    let list = shared::repo_root().join("tests/echo-traffic/expected-differences.txt");
    let list = std::fs::read_to_string(list).expect("the list of exceptions");
    let expected = Expected::parse(&list).expect("a list of exceptions").0;
    assert!(expected.is_empty(), "the list of exceptions only shrinks");
    let world = echo::world(&suite);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for group in GROUPS {
        for case in echo::cases(&suite.join(group)) {
            let mut differences = Vec::new();
            for (call, verdict) in echo::run(&world, &case) {
                let count = match &verdict {
                    Verdict::Meets => "meet",
                    Verdict::NotFollowed => "not followed",
                    Verdict::Differs(_) => "differ",
                };
                *counts.entry(count).or_default() += 1;
                if let Verdict::Differs(why) = verdict {
                    differences.push(format!("{}: {call}: {why}", case.name));
                }
            }
            match (differences.is_empty(), expected.contains_key(&case.name)) {
                (false, false) => wrong.extend(differences),
                (true, true) => wrong.push(format!("{} is equal: take it off the list", case.name)),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{counts:?}\n{}", wrong.join("\n"));
    assert!(counts.get("meet") > Some(&300), "{counts:?}");
}

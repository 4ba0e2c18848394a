//! For each law a core that breaks it, and is found out.

use super::mutant::{Flaw, Mutant};
use crate::sim::{Breach, config, live};

/// Lives that a broken core may lead before it is found out.
const LIVES: u64 = 4_000;

const TABLE: &[(Flaw, &str)] = &[
    (Flaw::DropsASettlement, "nothing acknowledged is lost"),
    (Flaw::TakesARequestForASuccess, "nothing acknowledged is lost"),
    (Flaw::LosesWhatRan, "nothing acknowledged is lost"),
    (Flaw::GivesUpAtOnce, "nothing acknowledged is lost"),
    (Flaw::NeverGivesUp, "nothing acknowledged is lost"),
    (Flaw::StartsTwice, "nothing is done twice"),
    (Flaw::ForgetsASuccess, "nothing is done twice"),
    (Flaw::ForgetsKeys, "tasks of one key go in order"),
    (Flaw::ForgetsAfter, "after is respected"),
    (Flaw::CountsOutages, "only the server's word about a task counts"),
    (Flaw::TakesAllForUnmetered, "conditions are never broken"),
    (Flaw::SeesNoPortal, "conditions are never broken"),
    (Flaw::ForgetsHolds, "conditions are never broken"),
    (Flaw::ForgetsPauses, "conditions are never broken"),
    (Flaw::LetsChunksGo, "conditions are never broken"),
    (Flaw::IgnoresHours, "conditions are never broken"),
    (Flaw::KnowsNoZone, "conditions are never broken"),
    (Flaw::TrustsAnUnsetClock, "conditions are never broken"),
    (Flaw::IgnoresBudgets, "conditions are never broken"),
    (Flaw::CountsNoBytes, "conditions are never broken"),
    (Flaw::ForgetsWhatWasSpent, "conditions are never broken"),
    (Flaw::StartsBlindly, "conditions are never broken"),
    (Flaw::KnowsNoMaxWait, "nobody starves"),
    (Flaw::Restless, "every wake has a reason"),
    (Flaw::Timeless, "everything drains when the world turns good"),
    (Flaw::SaysNothing, "every waiting task is explained, and truly"),
    (Flaw::KeepsAHoldSecret, "every waiting task is explained, and truly"),
    (Flaw::BlamesTheLink, "every waiting task is explained, and truly"),
    (Flaw::BlamesServers, "every waiting task is explained, and truly"),
    (Flaw::BlamesTheConfig, "every waiting task is explained, and truly"),
    (Flaw::SupposesNothing, "every waiting task is explained, and truly"),
];

fn breaches(flaw: Flaw) -> impl Iterator<Item = (u64, Breach)> {
    let config = config().expect("it is valid");
    (0..LIVES).filter_map(move |seed| {
        let lived = live(seed, &config, |config, seed| Mutant::new(flaw, &config, seed), None);
        lived.err().map(|breach| (seed, breach))
    })
}

#[test]
fn every_flaw_breaks_its_law() {
    let unseen: Vec<Flaw> =
        TABLE.iter().filter(|(flaw, law)| !is_found_out(*flaw, law)).map(|(flaw, _)| *flaw).collect();
    assert!(unseen.is_empty(), "{unseen:?} were not found out in {LIVES} lives");
}

fn is_found_out(flaw: Flaw, law: &str) -> bool {
    let found = breaches(flaw).find(|(_, breach)| breach.law == law);
    found.inspect(|(seed, breach)| println!("{flaw:?}: seed {seed}: {breach}")).is_some()
}

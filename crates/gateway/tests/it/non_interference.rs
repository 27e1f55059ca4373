//! The promise itself, as a property: each tenant sees exactly what it would see if it were alone.
//!
//! A history is a script for each of two to five tenants: calls of every kind, errors, cancellations, suspensions,
//! upstreams that fail, requests that are too large or cut off, tokens that have ended, and for some of the tenants
//! limits that they soon reach. It runs twice over real HTTP: once on a gateway that all tenants share, their scripts
//! interleaved as the scheduler likes, and once on gateways that have one tenant each. Every tenant's transcript, byte
//! for byte, must be the same.
//! Tenants are removed and made again under the same ids between histories, so what an earlier tenant of that id left
//! behind would show too.
//!
//! `PARTYWALL_HISTORIES` sets how many histories are run.

mod history;
mod stage;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::{
    history::{Script, history},
    stage::{Kind, Shape, Stage},
};

const HISTORIES: u32 = 10_000;
/// A server is slower than a file; how many histories each of its modes gets of those that files get.
const SHARE: u32 = 20;

fn histories() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "how long to look is the runner's choice")]
    let wanted = std::env::var("PARTYWALL_HISTORIES").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(HISTORIES)
}

/// How many stages play at once. A history mostly waits: for the disk, for slow tools and for refusals.
const STAGES: u8 = 3;

/// Runs histories until one shows interference; that one is shrunk. Each seed has other histories, always the same.
fn search(stage: &Stage, cases: u32, seed: u8) -> Result<(), TestError<Vec<Script>>> {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner.run(&history(), |scripts| match stage.interference(&scripts) {
        None => Ok(()),
        Some(shown) => Err(TestCaseError::fail(shown)),
    })
}

#[test]
fn each_tenant_sees_what_it_would_see_alone() {
    let each = histories().div_ceil(STAGES.into());
    std::thread::scope(|scope| {
        for seed in 0..STAGES {
            scope.spawn(move || assert_alone(Kind::Files, each, seed));
        }
    });
}

#[test]
fn each_tenant_sees_what_it_would_see_alone_with_row_level_security() {
    assert_alone(Kind::Rls, histories().div_ceil(SHARE), 0);
}

#[test]
fn each_tenant_sees_what_it_would_see_alone_with_schemas() {
    assert_alone(Kind::Schema, histories().div_ceil(SHARE), 1);
}

#[test]
fn each_tenant_sees_what_it_would_see_alone_with_databases() {
    assert_alone(Kind::Database, histories().div_ceil(SHARE), 2);
}

#[track_caller]
fn assert_alone(kind: Kind, cases: u32, seed: u8) {
    let stage = Stage::new(Shape::AsBuilt, kind);
    if let Err(error) = search(&stage, cases, seed) {
        panic!("{error}");
    }
    stage.assert_busy();
}

/// The property can fail: a tool that keeps one value for all callers is found.
#[test]
fn a_shared_value_is_found() {
    assert_found(Shape::SharedCounter);
}

/// So is one whose failures for one caller are felt by others.
#[test]
fn a_shared_failure_is_found() {
    assert_found(Shape::SharedBreaker);
}

#[track_caller]
fn assert_found(shape: Shape) {
    let stage = Stage::new(shape, Kind::Files);
    let found = search(&stage, 400, 0).expect_err("something shared interferes");
    let TestError::Fail(_, scripts) = found else { panic!("{found}") };
    assert!(scripts.len() >= 2, "it takes two: {scripts:?}");
}

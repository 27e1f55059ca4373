//! Routing: sessions, events, ids and tasks.

use partywall_model::Outcome;

use crate::{
    stub::{Stub, lax::Lax},
    support::{sensitive, verdict},
};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_without_an_owner_are_found() {
    sensitive(&[
        ("session-without-owner", "SE-01"),
        ("session-without-owner", "SE-02"),
        ("session-without-owner", "SE-03"),
        ("any-session", "SE-08"),
        ("chosen-session", "SE-09"),
        ("session-identity", "SE-12"),
        ("session-identity", "SE-16"),
        ("session-identity", "SE-17"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_that_can_be_guessed_or_outlive_their_end_are_found() {
    sensitive(&[
        ("events-without-owner", "SE-06"),
        ("events-without-owner", "SE-07"),
        ("counted-session", "SE-10"),
        ("undying-session", "SE-14"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_follow_ids_are_found() {
    sensitive(&[
        ("routes-by-id", "RT-01"),
        ("routes-by-id", "RT-02"),
        ("routes-by-id", "RT-03"),
        ("routes-by-progress", "RT-04"),
        ("cancel-by-id", "RT-10"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_slow_for_all_has_lost_no_answer_to_an_equal_id() {
    let slow = verdict(&["slow-in-a-crowd"], "RT-04", |_| {}).await;
    assert_eq!(slow.verdict, Outcome::Inconclusive, "{}", slow.reason);
    assert!(slow.reason.contains("take as long"), "{}", slow.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_origins_are_found_to_be_served() {
    sensitive(&[("any-origin", "XP-08")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_without_an_owner_are_found() {
    sensitive(&[
        ("tasks-without-owner", "TK-01"),
        ("tasks-without-owner", "TK-02"),
        ("tasks-without-owner", "TK-03"),
        ("tasks-without-owner", "TK-04"),
        ("task-not-yours", "TK-01"),
        ("tasks-without-owner", "TK-05"),
        ("tasks-without-owner", "TK-06"),
        ("counted-tasks", "TK-07"),
        ("headers-are-not-compared", "TK-08"),
        ("related-task-is-shown", "TK-10"),
        ("tasks-without-owner", "RT-09"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_user_a_colleague_is_not_tried() {
    let verdict = verdict(&[], "SE-18", |_| {}).await;
    assert_eq!(verdict.verdict, Outcome::NotRun);
    assert!(verdict.reason.contains("--user"), "{}", verdict.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_contradict_themselves_are_found_to_be_served() {
    sensitive(&[
        ("headers-are-not-compared", "XP-01"),
        ("headers-are-not-compared", "XP-03"),
        ("open-text", "XP-06"),
        ("open-slash", "XP-07"),
        ("connection-identity", "XP-10"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_and_one_moment_for_both_are_found() {
    sensitive(&[("connection-identity", "RT-15"), ("module-state", "RT-17")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_two_lengths_are_found_to_be_served() {
    let stub = Stub::start(&[]).await;
    let lax = Lax::before(&stub.url()).await;
    let found = verdict(&[], "XP-05", |plan| plan.url = lax.url()).await;
    assert_eq!(found.verdict, Outcome::Leaked, "{}", found.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_headers_that_choose_the_tenant_are_found() {
    sensitive(&[("prefix-is-tenant", "XP-09"), ("sessions-in-metrics", "SE-15")]).await;
    let leaky = verdict(&["with-regions", "headers-are-not-compared"], "XP-02", |_| {}).await;
    assert_eq!(leaky.verdict, Outcome::Leaked, "{}", leaky.reason);
    let safe = verdict(&["with-regions"], "XP-02", |_| {}).await;
    assert_eq!(safe.verdict, Outcome::Isolated, "{}", safe.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_were_left_behind_are_found() {
    sensitive(&[("leaves-behind", "RT-14"), ("batch-by-id", "RT-12")]).await;
}

//! What is called and what is not, with which arguments, and on how much of what there is it was tried.

use partywall_model::{Outcome, Verdicts};
use partywall_prober::Plan;

use crate::{
    stub::{SILENT, Stub},
    support::{found, held, plain, plan, run, verdict, writes},
};

async fn ran(
    defects: &'static [&'static str],
    probes: &[&str],
    change: impl Fn(&mut Plan),
) -> (Stub, Verdicts) {
    let stub = Stub::start(defects).await;
    let mut plan = plan(&stub);
    plan.probes = probes.iter().map(|id| (*id).to_owned()).collect();
    change(&mut plan);
    let verdicts = run(&plan).await.unwrap();
    (stub, verdicts)
}

fn noted(verdicts: &Verdicts, words: &[&str]) -> bool {
    verdicts.notes.iter().any(|note| words.iter().all(|word| note.contains(word)))
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_that_do_not_say_that_they_read_are_not_called() {
    let probes = ["DA-01", "DA-06", "DA-13", "CA-01", "ST-01", "CA-10", "CR-10", "DB-01"];
    let probes: Vec<&str> =
        probes.into_iter().filter(|id| crate::covered::techniques().contains(id)).collect();
    let (stub, verdicts) = ran(&["silent-tools"], &probes, |_| {}).await;
    let called = stub.app.shelf.lock().unwrap();
    let wrongly: Vec<_> =
        SILENT.iter().filter(|name| called.contains_key(&format!("silent {name}"))).collect();
    assert!(wrongly.is_empty(), "{wrongly:?}");
    assert!(called.contains_key("silent list_widgets"));
    drop(called);
    assert!(
        noted(&verdicts, &["called as acme because their names begin", "list_widgets"]),
        "{:?}",
        verdicts.notes
    );
    assert!(
        noted(&verdicts, &["not called as acme", "rotate_key", "account", "add_note", "create_instance"]),
        "{:?}",
        verdicts.notes
    );
    assert!(!noted(&verdicts, &["not called", "list_widgets"]), "{:?}", verdicts.notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_takes_sql_is_told_of_and_may_say_no() {
    let (_, verdicts) = ran(&["sql-setting"], &["DB-01"], |_| {}).await;
    assert_eq!(verdicts.verdicts[0].verdict, Outcome::Leaked, "{}", verdicts.verdicts[0].reason);
    assert!(noted(&verdicts, &["take SQL, and are called as acme with statements that read", "run_sql"]));
    assert!(!noted(&verdicts, &["not called", "run_sql"]), "{:?}", verdicts.notes);
    let (_, verdicts) = ran(&["sql-setting", "sql-says-it-writes"], &["DB-01"], |_| {}).await;
    assert_eq!(verdicts.verdicts[0].verdict, Outcome::NotRun, "{}", verdicts.verdicts[0].reason);
    assert!(verdicts.verdicts[0].reason.contains("run_sql takes SQL and says that it writes"));
    assert!(noted(&verdicts, &["not called as acme", "run_sql"]), "{:?}", verdicts.notes);
    assert!(!noted(&verdicts, &["take SQL"]), "{:?}", verdicts.notes);
    found(&[("sql-setting sql-says-it-writes", "DB-01")], writes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixteenth_tool_of_twenty_is_attacked() {
    // Busy as the machine may be, there is time for all of them.
    let slowly = |plan: &mut Plan| plan.racing = std::time::Duration::from_secs(20);
    found(&[("area-16", "CA-01"), ("area-16", "ST-01"), ("area-16", "ST-04")], slowly).await;
    let learned = |plan: &mut Plan| {
        slowly(plan);
        plan.seeds.clear();
    };
    found(&[("area-16", "CA-01")], learned).await;
    let safe = verdict("many-tools", "CA-01", slowly).await;
    assert_eq!(safe.verdict, Outcome::Isolated, "{}", safe.reason);
    assert!(!safe.reason.contains("It was tried on"), "{}", safe.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_says_on_how_much_it_was_tried_and_a_note_what_was_never() {
    let few = verdict("many-tools", "CA-01", |plan| plan.quick = true).await;
    assert!(few.reason.contains("It was tried on 12 of the 2"), "{}", few.reason);
    let (_, verdicts) =
        ran(&["silent-tools"], &[], |plan| plan.duration = std::time::Duration::from_secs(8)).await;
    assert!(noted(&verdicts, &["no technique has tried these tools", "read_box"]), "{:?}", verdicts.notes);
    assert!(
        !noted(&verdicts, &["no technique has tried these tools", "list_tickets"]),
        "{:?}",
        verdicts.notes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_choice_shows_is_found() {
    let cases = [("choice-shows-all", "DA-06"), ("scope-shows-all", "DA-06"), ("switch-shows-all", "DA-06")];
    found(&cases, plain).await;
    // What is learned of the plain answers is not unlearned by the wide one.
    found(&cases, |plan| plan.seeds.clear()).await;
    // What says that it is everybody's may be.
    let shared = verdict("public-scope-shows-all", "DA-06", |plan| plan.seeds.clear()).await;
    assert_eq!(shared.verdict, Outcome::Inconclusive, "{}", shared.reason);
    assert!(shared.reason.contains("that may be everybody's"), "{}", shared.reason);
    found(&[("public-scope-shows-all", "DA-06")], plain).await;
    let (stub, verdicts) = ran(&["choices"], &["DA-06", "CA-01"], |plan| plan.seeds.clear()).await;
    for verdict in &verdicts.verdicts {
        assert_eq!(verdict.verdict, Outcome::Isolated, "{}: {}", verdict.technique, verdict.reason);
    }
    assert!(!stub.app.shelf.lock().unwrap().contains_key("purged"));
    assert!(
        noted(&verdicts, &["not every choice", "get_report", "state", "purge_first"]),
        "{:?}",
        verdicts.notes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_further_down_or_is_chosen_by_a_free_object_is_found() {
    let cases = [("page-shows-all", "DA-06"), ("where-shows-all", "DA-06")];
    found(&cases, plain).await;
    found(&cases, |plan| plan.seeds.clear()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_chosen_says_that_it_is_everybodys() {
    found(&[("template-shows-all", "DA-06")], |plan| plan.seeds.clear()).await;
    let shared = verdict("registry-shows-all", "DA-06", |plan| plan.seeds.clear()).await;
    assert_eq!(shared.verdict, Outcome::Inconclusive, "{}", shared.reason);
    assert!(shared.reason.contains("that may be everybody's"), "{}", shared.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_in_objects_and_in_lists_of_objects_are_tried() {
    let cases = [("nested-id", "DA-01"), ("listed-id", "DA-01"), ("nested-id", "DA-02")];
    found(&cases, plain).await;
    found(&cases, |plan| plan.seeds.clear()).await;
    held(&[("nested", "DA-01"), ("nested", "DA-02"), ("nested", "DA-11"), ("nested", "DA-13")], plain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_change_are_seen() {
    found(&[("template-names-rows", "CA-02"), ("late-tool-of-all", "DA-06")], plain).await;
    found(&[("template-names-rows", "CA-02"), ("late-tool-of-all", "DA-06")], |plan| plan.seeds.clear())
        .await;
    let (_, verdicts) = ran(&["late-tool"], &["CA-01", "CA-02"], |_| {}).await;
    let of = |id: &str| verdicts.verdicts.iter().find(|verdict| verdict.technique == id).unwrap();
    assert_eq!(of("CA-01").verdict, Outcome::Isolated, "{}", of("CA-01").reason);
    assert_eq!(of("CA-02").verdict, Outcome::Inconclusive, "{}", of("CA-02").reason);
    assert!(of("CA-02").reason.contains("get_late"), "{}", of("CA-02").reason);
    assert!(
        noted(&verdicts, &["listed only after something was called", "get_late"]),
        "{:?}",
        verdicts.notes
    );
}

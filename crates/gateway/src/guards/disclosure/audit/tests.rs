//! What the log promises: whole after any end, and never silently less.

use std::{fs, io::Write as _, path::Path, sync::Arc};

use partywall_model::{Principal, Scopes};

use super::*;
use crate::admit::RequestId;

const LARGE: u64 = 1 << 30;

fn line(tenant: &str, n: u64) -> Line {
    let principal = Principal {
        tenant: TenantId::parse(tenant).unwrap(),
        issuer: "i".into(),
        subject: "eve\n{\"forged\":1}\u{1b}[2J".into(),
        scopes: Scopes::default(),
    };
    Line::of(Some(&Arc::new(principal)), RequestId::new(n), 1.5)
}

async fn fill(audit: &Audit, tenant: &str, lines: u64) {
    for n in 0..lines {
        audit.record(line(tenant, n)).await.unwrap();
    }
}

fn log_of(folder: &Path, tenant: &str) -> PathBuf {
    folder.join("audit").join(format!("{tenant}.jsonl"))
}

fn is_whole(folder: &Path, tenant: &str) -> LogReport {
    let report = verify(folder, tenant).unwrap();
    assert_eq!(report.verdict, Verdict::Whole, "{report:?}");
    report
}

fn damage(folder: &Path, tenant: &str) -> (u64, String) {
    match verify(folder, tenant).unwrap().verdict {
        Verdict::Damaged { at, problem, .. } => (at, problem),
        Verdict::Whole => panic!("the damage was not found"),
    }
}

#[tokio::test]
async fn each_tenant_has_a_file_and_a_field_cannot_start_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), LARGE).unwrap();
    fill(&audit, "acme", 1).await;
    fill(&audit, "globex", 1).await;
    audit.record(Line::of(None, RequestId::new(9), 1.5)).await.unwrap();
    assert_eq!(logs(folder.path()).unwrap(), ["-unattributed", "acme", "globex"]);
    for name in ["acme", "globex", UNATTRIBUTED] {
        let text = fs::read_to_string(log_of(folder.path(), name)).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["tenant"].as_str().unwrap_or(UNATTRIBUTED), name);
        assert_eq!(is_whole(folder.path(), name).last, 1);
    }
}

#[tokio::test]
async fn requests_at_the_same_time_are_one_batch_and_each_line_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Arc::new(Audit::open(folder.path(), LARGE).unwrap());
    let all = (0..200).map(|n| {
        let audit = Arc::clone(&audit);
        async move { audit.record_durably(line(if n % 3 == 0 { "acme" } else { "globex" }, n)).await }
    });
    let done = futures_util::future::join_all(all).await;
    assert!(done.iter().all(Result::is_ok));
    assert_eq!(is_whole(folder.path(), "acme").last, 67);
    assert_eq!(is_whole(folder.path(), "globex").last, 133);
}

#[tokio::test]
async fn a_batch_is_written_although_its_first_request_was_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), LARGE).unwrap();
    {
        let mut first = Box::pin(audit.record(line("acme", 1)));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(audit.record(line("acme", 2)));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        second.await.unwrap();
    }
    assert_eq!(is_whole(folder.path(), "acme").last, 2);
}

#[tokio::test]
async fn a_chain_goes_on_after_a_restart_and_next_to_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let first = Audit::open(folder.path(), LARGE).unwrap();
    let second = Audit::open(folder.path(), LARGE).unwrap();
    for n in 0..10 {
        first.record(line("acme", n)).await.unwrap();
        second.record(line("acme", n)).await.unwrap();
    }
    drop((first, second));
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 5).await;
    let report = is_whole(folder.path(), "acme");
    assert_eq!((report.first, report.last, report.lost), (1, 25, 0));
}

/// Changes a log that a gateway closed; what verify says.
async fn tampered(change: impl FnOnce(&Path, String)) -> (tempfile::TempDir, u64, String) {
    let folder = tempfile::tempdir().unwrap();
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 20).await;
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "globex", 20).await;
    is_whole(folder.path(), "acme");
    let path = log_of(folder.path(), "acme");
    change(&path, fs::read_to_string(&path).unwrap());
    let (at, problem) = damage(folder.path(), "acme");
    is_whole(folder.path(), "globex");
    (folder, at, problem)
}

fn without(text: &str, skip: usize) -> String {
    text.lines().enumerate().filter(|(n, _)| *n != skip).map(|(_, line)| format!("{line}\n")).collect()
}

#[tokio::test]
async fn every_kind_of_tampering_is_found_with_its_place() {
    let (_, at, problem) =
        tampered(|path, text| fs::write(path, text.replacen("\"us\":0", "\"us\":1", 5)).unwrap()).await;
    assert_eq!((at, problem.as_str()), (2, "line 1 was changed: line 2 does not follow it"));
    let (_, at, problem) = tampered(|path, text| fs::write(path, without(&text, 6)).unwrap()).await;
    assert_eq!((at, problem.as_str()), (7, "line 7 should stand here, and line 8 does"));
    let (_, at, problem) = tampered(|path, text| fs::write(path, without(&text, 19)).unwrap()).await;
    assert_eq!((at, problem.as_str()), (20, "it ends at line 19, and line 20 was written"));
    let (_, at, _) =
        tampered(|path, text| fs::write(path, text.get(..text.len() - 30).unwrap()).unwrap()).await;
    assert_eq!(at, 20);
    let (_, at, problem) = tampered(|path, text| {
        let last = text.rfind("\"us\":0").unwrap();
        fs::write(path, format!("{}\"us\":9}}\n", text.get(..last).unwrap())).unwrap();
    })
    .await;
    assert_eq!((at, problem.as_str()), (20, "line 20 was changed"));
    let (_, _, problem) = tampered(|path, _| fs::write(path, "").unwrap()).await;
    assert_eq!(problem, "it ends at line 0, and line 20 was written");
    let (_, _, problem) = tampered(|path, _| fs::remove_file(path).unwrap()).await;
    assert_eq!(problem, "it ends at line 0, and line 20 was written");
    let (_, at, problem) = tampered(|path, text| fs::write(path, format!("garbage\n{text}")).unwrap()).await;
    assert_eq!((at, problem.as_str()), (1, "this is no line of an audit log"));
    let (_, _, problem) = tampered(|path, _| fs::remove_file(path.with_extension("head")).unwrap()).await;
    assert_eq!(problem, "the log's head is missing");
    let (_, _, problem) = tampered(|path, _| fs::write(path.with_extension("head"), "{}").unwrap()).await;
    assert!(problem.starts_with("the log's head cannot be read"), "{problem}");
}

#[tokio::test]
async fn a_damaged_log_refuses_its_own_tenants_writes_until_it_is_moved_away() {
    let change = |path: &Path, text: String| fs::write(path, without(&text, 19)).unwrap();
    let (folder, _, _) = tampered(change).await;
    let audit = Audit::open(folder.path(), LARGE).unwrap();
    assert!(audit.record_durably(line("acme", 1)).await.is_err());
    audit.record_durably(line("globex", 1)).await.unwrap();
    assert!(audit.render().contains("partywall_audit_lost_lines_total 1\n"));
    fs::rename(log_of(folder.path(), "acme"), folder.path().join("evidence")).unwrap();
    // A log that could not be opened is looked at again after a second; a new gateway looks at once.
    let audit = Audit::open(folder.path(), LARGE).unwrap();
    audit.record_durably(line("acme", 2)).await.unwrap();
    let (_, problem) = damage(folder.path(), "acme");
    assert_eq!(problem, "the file with the lines up to 20 was taken away or emptied");
}

#[tokio::test]
async fn what_is_cut_off_under_a_running_gateway_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), LARGE).unwrap();
    fill(&audit, "acme", 5).await;
    let path = log_of(folder.path(), "acme");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, without(&text, 4)).unwrap();
    assert!(audit.record(line("acme", 6)).await.is_err());
    assert_eq!(damage(folder.path(), "acme").1, "it ends at line 4, and line 5 was written");
}

#[tokio::test]
async fn half_a_line_of_a_killed_process_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 3).await;
    let path = log_of(folder.path(), "acme");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"seq\":4,\"prev\":\"12").unwrap();
    assert!(is_whole(folder.path(), "acme").notes[0].starts_with("the last line is unfinished"));
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 1).await;
    let report = is_whole(folder.path(), "acme");
    assert_eq!((report.last, report.notes.len()), (4, 0));
}

#[tokio::test]
async fn lines_that_a_power_cut_took_are_told_and_changes_are_never_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), LARGE).unwrap();
    audit.record_durably(line("acme", 1)).await.unwrap();
    fill(&audit, "acme", 4).await;
    drop(audit);
    let head = folder.path().join("audit/acme.head");
    let before = fs::read_to_string(&head).unwrap();
    let path = log_of(folder.path(), "acme");
    let text = fs::read_to_string(&path).unwrap();
    let keep = |lines: usize, boot: &str| {
        fs::write(&path, text.lines().take(lines).map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
        fs::write(&head, before.replace(&*head::boot(), boot)).unwrap();
    };
    keep(3, &head::boot());
    assert_eq!(damage(folder.path(), "acme").1, "it ends at line 3, and line 5 was written");
    keep(3, "another-boot");
    assert!(is_whole(folder.path(), "acme").notes[0].contains("the last 2 lines were not on disk yet"));
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 1).await;
    let report = is_whole(folder.path(), "acme");
    assert_eq!((report.last, report.lost), (5, 2), "a line about the lost ones, and the new one");
    // The first line was waited for.
    keep(0, "another-boot");
    assert!(damage(folder.path(), "acme").1.starts_with("it ends at line 0"));
}

#[tokio::test]
async fn a_full_file_goes_to_the_archive_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), 2_000).unwrap();
    let neighbour = Audit::open(folder.path(), 2_000).unwrap();
    for n in 0..30 {
        audit.record(line("acme", n)).await.unwrap();
        neighbour.record_durably(line("acme", n)).await.unwrap();
    }
    let archive = folder.path().join("audit/archive/acme");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&archive).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    let report = is_whole(folder.path(), "acme");
    assert_eq!((report.first, report.lost), (1, 0));
    assert_eq!(
        report.last,
        60 + files.len() as u64 + 1 - u64::from(!log_of(folder.path(), "acme").exists()) - 1
    );
    // What retention deleted is told; a hole is damage.
    fs::remove_file(&files[0]).unwrap();
    assert!(is_whole(folder.path(), "acme").notes[0].contains("are not here any more"));
    fs::remove_file(&files[2]).unwrap();
    assert!(damage(folder.path(), "acme").1.contains("should stand here"));
}

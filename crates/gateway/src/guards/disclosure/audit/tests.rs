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

/// A head's text as another boot of the machine would have left it; it is written in blocks of a fixed size.
fn of_another_boot(head: &str) -> String {
    head.replace(&*head::boot(), &"x".repeat(head::boot().len()))
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
    audit.record_durably(line("acme", 2)).await.unwrap();
    fill(&audit, "acme", 3).await;
    drop(audit);
    let head = folder.path().join("audit/acme.head");
    let before = fs::read_to_string(&head).unwrap();
    let path = log_of(folder.path(), "acme");
    let text = fs::read_to_string(&path).unwrap();
    let keep = |lines: usize, head_text: &str| {
        fs::write(&path, text.lines().take(lines).map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
        fs::write(&head, head_text).unwrap();
    };
    keep(3, &before);
    assert_eq!(damage(folder.path(), "acme").1, "it ends at line 3, and line 5 was written");
    keep(3, &of_another_boot(&before));
    assert!(is_whole(folder.path(), "acme").notes[0].contains("the last 2 lines were not on disk yet"));
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 1).await;
    let report = is_whole(folder.path(), "acme");
    assert_eq!((report.last, report.lost), (5, 2), "a line about the lost ones, and the new one");
    // The second line was waited for, so no power cut took it.
    keep(1, &of_another_boot(&before));
    assert!(damage(folder.path(), "acme").1.starts_with("it ends at line 1"));
    assert!(Audit::open(folder.path(), LARGE).unwrap().record(line("acme", 1)).await.is_err());
}

/// The end of a change is covered at once, and not with the next line.
#[tokio::test]
async fn what_was_waited_for_is_on_disk_and_the_head_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), LARGE).unwrap();
    audit.record(line("acme", 1)).await.unwrap();
    let tenant = TenantId::parse("acme").unwrap();
    let disk = audit.shard(Some(&tenant)).logs().entry(Some(&tenant)).log().ok().unwrap().disk();
    assert_eq!(disk.times.load(Relaxed), 0, "a read does not wait for the disk");
    audit.record_durably(line("acme", 2)).await.unwrap();
    assert_eq!(disk.times.load(Relaxed), 1);
    let head = head::read(&folder.path().join("audit/acme.head")).unwrap().unwrap();
    assert_eq!((head.place.seq, head.synced), (2, 2));
}

/// One line is read of a log of any size, so that a tenant that comes back costs its neighbours nothing.
#[tokio::test]
async fn opening_a_large_log_reads_its_end_only() {
    let folder = tempfile::tempdir().unwrap();
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 2_000).await;
    let path = log_of(folder.path(), "acme");
    let mut bytes = fs::read(&path).unwrap();
    // Whoever reads the beginning finds no log there.
    bytes.get_mut(..100_000).unwrap().fill(b'x');
    fs::write(&path, bytes).unwrap();
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 1).await;
    assert_eq!(damage(folder.path(), "acme").0, 1, "verify reads all of it");
}

#[tokio::test]
async fn a_head_that_a_power_cut_left_behind_is_found_in_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let head = folder.path().join("audit/acme.head");
    let audit = Audit::open(folder.path(), 2_000).unwrap();
    fill(&audit, "acme", 2).await;
    let before = fs::read_to_string(&head).unwrap();
    let archive = folder.path().join("audit/archive/acme");
    let mut n = 2;
    while !archive.is_dir() {
        audit.record(line("acme", n)).await.unwrap();
        n += 1;
    }
    drop(audit);
    // The next file is not there yet.
    fs::write(&head, of_another_boot(&before)).unwrap();
    fill(&Audit::open(folder.path(), 2_000).unwrap(), "acme", 1).await;
    assert_eq!(is_whole(folder.path(), "acme").last, n + 2, "with the line that begins the file");
    // The next file has lines.
    fs::write(&head, of_another_boot(&before)).unwrap();
    fill(&Audit::open(folder.path(), 2_000).unwrap(), "acme", 1).await;
    assert_eq!(is_whole(folder.path(), "acme").last, n + 3);
}

/// The archive's name says which line is the last of the file, also when another process wrote it.
#[tokio::test]
async fn a_file_is_archived_under_the_line_that_is_its_last() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), LARGE).unwrap();
    audit.record(line("acme", 1)).await.unwrap();
    let log = Log::open(Paths::new(&folder.path().join("audit"), "acme"), LARGE, None).unwrap();
    audit.record(line("acme", 2)).await.unwrap();
    log.archive().unwrap();
    audit.record_durably(line("acme", 3)).await.unwrap();
    assert_eq!(is_whole(folder.path(), "acme").last, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_rotate_one_log_do_not_take_each_other_for_damage() {
    let folder = tempfile::tempdir().unwrap();
    let audits: Vec<Arc<Audit>> =
        (0..3).map(|_| Arc::new(Audit::open(folder.path(), 2_000).unwrap())).collect();
    let work = audits.iter().map(|audit| {
        let audit = Arc::clone(audit);
        #[expect(clippy::disallowed_methods, reason = "no tenant's request")]
        tokio::spawn(async move {
            for n in 0..200 {
                audit.record(line("acme", n)).await.unwrap();
            }
        })
    });
    for done in futures_util::future::join_all(work).await {
        done.unwrap();
    }
    drop(audits);
    let report = is_whole(folder.path(), "acme");
    assert_eq!(report.lost, 0);
    assert!(report.last >= 600);
}

#[tokio::test]
async fn a_log_that_has_lost_its_head_says_so_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 20).await;
    let path = log_of(folder.path(), "acme");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.lines().take(10).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    fs::remove_file(path.with_extension("head")).unwrap();
    assert_eq!(damage(folder.path(), "acme").1, "the log's head is missing");
    drop(Log::open(Paths::new(&folder.path().join("audit"), "acme"), LARGE, None).unwrap());
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 2).await;
    assert!(damage(folder.path(), "acme").1.contains("lines may have been cut off before it"));
}

#[tokio::test]
async fn a_head_before_the_first_line_that_is_there_is_no_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    fill(&Audit::open(folder.path(), LARGE).unwrap(), "acme", 3).await;
    let path = log_of(folder.path(), "acme").with_extension("head");
    let head = fs::read_to_string(&path).unwrap();
    fs::write(&path, of_another_boot(&head).replace("\"seq\":3", "\"seq\":2")).unwrap();
    assert!(damage(folder.path(), "acme").1.contains("was changed"));
}

/// Lines that a closed log owes are not forgotten when other tenants' logs take its place.
#[tokio::test]
async fn what_a_log_owes_is_kept_while_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), LARGE).unwrap();
    audit.record(line("acme", 1)).await.unwrap();
    let path = log_of(folder.path(), "acme");
    let away = folder.path().join("away");
    fs::rename(&path, &away).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(audit.record(line("acme", 2)).await.is_err());
    for shard in &audit.shards {
        for n in 0..2 * OpenLogs::MAX_OPEN {
            shard.logs().entry(Some(&TenantId::parse(&format!("t{n}")).unwrap()));
        }
    }
    fs::remove_dir(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    audit.record(line("acme", 3)).await.unwrap();
    assert_eq!(is_whole(folder.path(), "acme").lost, 1);
}

/// After an error the system would say that everything is on disk, and the gateway does not.
#[tokio::test]
async fn a_disk_that_failed_once_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head");
    // A socket's end cannot be waited for.
    let (file, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = fs::File::from(std::os::fd::OwnedFd::from(file));
    let disk = Arc::new(Disk::new(file, head::HeadFile::open(&path).unwrap(), 1, 0));
    assert!(Arc::clone(&disk).sync().await.is_err());
    assert!(Arc::clone(&disk).sync().await.unwrap_err().to_string().contains("restart the server"));
    assert_eq!(disk.times.load(Relaxed), 1);
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

/// Whoever follows a log misses nothing of it, however often its file went to the archive between two looks.
#[tokio::test]
async fn who_follows_a_log_sees_each_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), 2_000).unwrap();
    let logs = Logs::Files(folder.path().to_owned());
    let mut seen = Seen::default();
    let mut shown = Vec::new();
    for many in [0, 1, 100, 3, 0, 700, 1] {
        fill(&audit, "acme", many).await;
        let news = logs.follow("acme", &mut seen).unwrap();
        assert!(!news.skipped, "{many}");
        shown.extend(news.lines.iter().map(|line| read::number(line)));
    }
    let last = is_whole(folder.path(), "acme").last;
    assert!(last > 805 && fs::read_dir(folder.path().join("audit/archive/acme")).unwrap().count() > 50);
    assert_eq!(shown, (1..=last).collect::<Vec<_>>());
    // Who begins at the end sees what comes after it.
    let (_, mut late) = logs.tail_to_follow("acme", 3).unwrap();
    assert!(logs.follow("acme", &mut late).unwrap().lines.is_empty());
    fill(&audit, "acme", 20).await;
    assert_eq!(read::number(&logs.follow("acme", &mut late).unwrap().lines[0]), last + 1);
    // What was deleted is said, and a log that begins anew is shown from its beginning.
    fill(&audit, "acme", 100).await;
    fs::remove_dir_all(folder.path().join("audit/archive/acme")).unwrap();
    assert!(logs.follow("acme", &mut seen).unwrap().skipped);
    drop(audit);
    fs::remove_dir_all(folder.path().join("audit")).unwrap();
    fill(&Audit::open(folder.path(), 2_000).unwrap(), "acme", 2).await;
    let numbers: Vec<u64> =
        logs.follow("acme", &mut seen).unwrap().lines.iter().map(|line| read::number(line)).collect();
    assert_eq!(numbers, [1, 2]);
}
